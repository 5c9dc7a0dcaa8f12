"""Rates for volumes that the model has never seen, beside the best peer.

    python experiments/leave_one_out.py VOLUME... --models=FOLDER --efforts=0,1,2
    python experiments/leave_one_out.py --smoke --models=/tmp/models --output=/tmp/left_out.csv

For each VOLUME and each model that an effort starts from, a model is trained by the shipped recipe
on all the other data sets. It is kept in FOLDER as ARCHITECTURE/DATA_SET.json; an existing file is
used. The volume is compressed with that model at each effort, and every byte counts. The best peer
is the smallest row of the volume in --peers, a CSV of frontier.py. Rows of other volumes and
efforts are kept, but for their peers, which are looked up again. --plot-only draws the CSV.

Cost: 2 to 3 minutes for each model on one core, and 10 seconds to 5 minutes for each volume and
effort. Expected: every volume at every effort below every peer, 0.961, 0.957 and 0.953 of the best
one on average at efforts 0 to 2.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import shares
from train_shipped import data_set_of, groups_of

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.cli.terminal import progress_display
from jaxslice.jobs.effort import effort_named, model_for
from jaxslice.jobs.recipe import recipe_of
from jaxslice.jobs.train_model import make_model
from jaxslice.models.presets import PRESETS
from jaxslice.volumes.source import open_source

COLUMNS = (
    "volume", "effort", "bits_per_voxel", "best_peer", "best_peer_bits_per_voxel", "ratio",
    "network_bytes", "own_networks_bytes", "own_networks_saved_bytes", "train_seconds",
    "multiply_adds_per_voxel", "seconds",
)  # fmt: skip


def model_without(
    volume: str, volumes: list[str], architecture: str, folder: Path, steps: int | None
) -> str:
    """Path of a model that was trained on the other data sets."""
    name = data_set_of(volume)
    path = folder / architecture / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        recipe, groups = recipe_of(steps, augmented=True), groups_of(volumes, name)
        with progress_display() as progress:
            make_model(
                groups, str(path), PRESETS[architecture].architecture, recipe, progress=progress
            )
    return str(path)


def efforts_of(text: str) -> list[int | str]:
    """Efforts from a text such as "fast,0,1"; empty for none."""
    return [int(part) if part.isdigit() else part for part in text.split(",") if part]


def starts_from_model(effort: int | str) -> bool:
    """Whether an effort starts from a shipped model.

    Raises:
      UsageError: there is no such effort.
    """
    return effort_named(effort).model is not None


def model_of_effort(
    volume: str, volumes: list[str], effort: int | str, folder: Path, steps: int | None
) -> str | None:
    """Path of the model that an effort starts from, trained on other data sets; None if none."""
    architecture = model_for(effort_named(effort), math.prod(open_source(volume).shape))
    if architecture is None:
        return None
    return model_without(volume, volumes, architecture, folder, steps)


def beside_best_peer(row: common.Row, best: dict[str, tuple[float, str]]) -> common.Row:
    """A row with the best peer of its volume, as far as peers were measured on that."""
    bits, name = best.get(row["volume"], (math.nan, ""))
    ratio = float(row["bits_per_voxel"]) / bits
    return {**row, "best_peer": name, "best_peer_bits_per_voxel": bits, "ratio": ratio}


def measure(volume: str, model: str | None, effort: int | str, scratch: str) -> common.Row:
    """Compresses a volume; its row, without a peer."""
    options = jaxslice.CompressOptions(effort=effort, model=model, overwrite=True)
    start = time.perf_counter()
    report = jaxslice.compress(volume, f"{scratch}/archive.zarr", options)
    seconds = time.perf_counter() - start
    jaxslice.verify(f"{scratch}/archive.zarr", source=volume)
    return {
        "volume": common.name_of(volume),
        "effort": effort,
        "bits_per_voxel": report.bits_per_voxel,
        "network_bytes": report.details["network_bytes"],
        "own_networks_bytes": report.details["own_networks_bytes"],
        "own_networks_saved_bytes": report.details["own_networks_saved_bytes"],
        "train_seconds": report.seconds["train"],
        "multiply_adds_per_voxel": report.multiply_adds_per_voxel,
        "seconds": seconds,
    }


def draw(rows: list[common.Row], path: Path) -> None:
    """Dots: bits per voxel over those of the best peer, a row for each volume."""
    volumes = sorted({row["volume"] for row in rows})
    efforts = sorted({row["effort"] for row in rows})
    figure = common.new_figure(7, 0.5 * len(volumes) + 1.2)
    axes = figure.subplots()
    for index, effort in enumerate(efforts):
        mine = {row["volume"]: float(row["ratio"]) for row in rows if row["effort"] == effort}
        axes.scatter(
            [mine.get(volume, float("nan")) for volume in volumes],
            range(len(volumes)),
            s=50,
            color=common.OURS,
            alpha=0.35 + 0.65 * index / max(len(efforts) - 1, 1),
            label=f"effort {effort}",
        )
    axes.axvline(1, color=common.TEXT, linewidth=1)
    axes.set_yticks(range(len(volumes)), volumes)
    axes.set_xlabel("bits per voxel over those of the best peer (left of the line is smaller)")
    axes.legend(frameon=False, loc="best")
    common.bare(axes)
    figure.savefig(path.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("volumes", nargs="*")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--efforts", default="0,1,2")
    parser.add_argument("--steps", type=int, help="of each model; default: the recipe's")
    parser.add_argument("--peers", type=Path, default=common.RESULTS / "frontier.csv")
    parser.add_argument("--output", type=Path, default=common.RESULTS / "leave_one_out.csv")
    parser.add_argument("--plot-only", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.smoke:
            given.efforts, given.steps = "0", 50
            for name, anisotropy in (("near", 1.0), ("far", 6.0)):
                path = f"{scratch}/{name}.npy"
                np.save(path, synthetic_volume((8, 48, 64), anisotropy=anisotropy))
                given.volumes.append(path)
        best = shares.best_peers(common.read_rows(given.peers))
        for volume in [] if given.plot_only else given.volumes:
            for effort in efforts_of(given.efforts):
                model = model_of_effort(volume, given.volumes, effort, given.models, given.steps)
                row = beside_best_peer(measure(volume, model, effort, scratch), best)
                print(
                    f"{row['volume']:12} effort {effort}: {row['bits_per_voxel']:.4f} bits per "
                    f"voxel, {row['ratio']:.4f} of {row['best_peer']}, {row['seconds']:.0f} s",
                    flush=True,
                )
                common.replace_volume(given.output, COLUMNS, [row], ("volume", "effort"))
    # Peers may have been measured since.
    rows = [beside_best_peer(row, best) for row in common.read_rows(given.output)]
    common.write_rows(given.output, COLUMNS, [common.as_text(row) for row in rows])
    draw(rows, given.output)


if __name__ == "__main__":
    main()
