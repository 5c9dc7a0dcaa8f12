"""Trains the models that come with jaxslice, or the same without one data set.

    python experiments/train_shipped.py VOLUME... --output=jaxslice/models/default.json
    python experiments/train_shipped.py VOLUME... --architecture=large \\
        --output=jaxslice/models/large.json
    python experiments/train_shipped.py VOLUME... --leave_out=fib25 --output=/tmp/no_fib25.json

A VOLUME is anything that `compress` reads. Volumes of one data set (names that differ only in the
last letter, such as fib25_a.npy and fib25_b.npy) together have the weight of one other data set.
A model that is trained without a data set shows on that data set what a shipped model does for
volumes that it has never seen.

The same volumes, options and machine give the same bytes, also after an interruption with
--checkpoint_dir.
--smoke trains 50 steps on synthetic volumes.

Cost: 10 ms for each step on one core, 18 ms for medium, 40 ms for large.
Expected: each data set left out within 3 % of the bits of a network tuned on it.
"""

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.cli.terminal import progress_display
from jaxslice.jobs.recipe import recipe_of
from jaxslice.jobs.train_model import make_model
from jaxslice.models.presets import PRESETS


def data_set_of(volume: str) -> str:
    """A volume's name without its ending and without the letter that tells it from others."""
    name = re.split(r"[\\/]", volume.rstrip("/"))[-1].removesuffix(".npy")
    return re.sub(r"_[a-z]$", "", name)


def groups_of(volumes: list[str], leave_out: str | None = None) -> list[list[str]]:
    """Volumes by data set, in the order of their names."""
    groups: dict[str, list[str]] = {}
    for volume in sorted(volumes):
        groups.setdefault(data_set_of(volume), []).append(volume)
    if leave_out is not None and leave_out not in groups:
        raise SystemExit(f"Got --leave_out={leave_out}, expected one of {', '.join(groups)}.")
    return [group for name, group in groups.items() if name != leave_out]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("volumes", nargs="*")
    parser.add_argument("--leave_out", help="name of a data set, such as fib25")
    parser.add_argument("--architecture", choices=PRESETS, default="default")
    parser.add_argument("--output", required=True)
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint_dir")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, progress_display() as progress:
        if options.smoke:
            for name, anisotropy in (("near_a", 1.0), ("near_b", 2.0), ("far", 6.0)):
                path = Path(scratch) / f"{name}.npy"
                np.save(path, synthetic_volume((24, 96, 96), anisotropy=anisotropy))
                options.volumes.append(str(path))
        trained = make_model(
            groups_of(options.volumes, options.leave_out),
            options.output,
            PRESETS[options.architecture].architecture,
            recipe_of(50 if options.smoke else options.steps, augmented=True),
            options.seed,
            checkpoint_dir=options.checkpoint_dir,
            overwrite=True,
            progress=progress,
        )
    print(f"{trained.name}: {trained.fingerprint}, {len(trained.provenance['sources'])} data sets")


if __name__ == "__main__":
    main()
