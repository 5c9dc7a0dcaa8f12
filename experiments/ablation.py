"""What each part is worth: networks trained in the same way, with one part changed.

    python experiments/ablation.py fib25_a.npy snemi_ac4.npy sbem_mito.npy
    python experiments/ablation.py --plot-only
    python experiments/ablation.py --smoke --output=/tmp/ablation.csv

Every variant is trained from scratch on the middle of the volume, for the same number of steps, and
measured there. `measured` says how its bits were counted. Compare each variant with the one in
`compared_with`, whose bits were counted in the same way:

- "coded": bytes of the block's payload, from `jaxslice.codec.block`, without the network (its
  packed size stands in `network_bytes`: on a crop it would weigh more than in an archive);
- "expected": mean bits of the network's intervals at random places, which floats allow as well;
- "archive": an archive of the crop at that effort, with as much training as the effort has,
  everything counted. Effort 2 is the paper's design, a network for each block. All efforts start
  from the shipped model, which may have seen the volume: see leave_one_out.py.

"no activity" holds the local activity, by which inputs and scales are normalised, at its median.
"no level tables" gives every slice all 256 levels. Both replace a function while they are measured,
because they are not options of jaxslice.

Cost: 10 minutes a volume on one core. Expected: the 4 previous slices alone cost 17 % (fib25_a) to
49 % (snemi_ac4) more, sbem_mito without level tables 45 % more, integers instead of floats less
than 0.5 %.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import ablation_order
import ablation_plot
import common
import jax
import jax.numpy as jnp
import numpy as np
from ablation_plot import GROUPS
from common import Row

import jaxslice
from jaxslice.codec import levels, mixture, network_bytes
from jaxslice.codec.architecture import SYMBOL_LIMIT, Architecture
from jaxslice.codec.block import encode_block
from jaxslice.codec.features import features_of
from jaxslice.codec.network import Model
from jaxslice.core.types import Volume
from jaxslice.models.presets import FULL, LARGE, SLICES
from jaxslice.training import float_network, train
from jaxslice.training.parameters import to_integers

LARGEST = (32, 256, 256)
EFFORT_BLOCKS = (32, 128, 128)
NUM_PLACES = 1 << 17
COLUMNS = (
    "volume", "shape", "group", "variant", "measured", "compared_with", "bits_per_voxel",
    "num_params", "multiply_adds", "network_bytes", "training_steps",
)  # fmt: skip
DEFAULT = "jaxslice"
HIDDEN = ((8, 8), (16, 16), (24, 12), (32, 16), (32, 32), (64, 64))
COMPONENTS = (1, 2, 3, 4)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A network, or a codec around it, with one part changed.

    Attributes:
      group: of variants that belong together.
      name: as in the CSV.
      architecture: of the network.
      change: called with the block; what it returns holds while the variant is measured.
    """

    group: str
    name: str
    architecture: Architecture
    change: Callable[[Volume], contextlib.AbstractContextManager] = contextlib.nullcontext


def variants() -> list[Variant]:
    """All that are coded for real, the default first."""
    own, one = (
        tuple(offset for offset in FULL.context if offset[0] >= deepest) for deepest in (0, -1)
    )
    change = functools.partial(dataclasses.replace, FULL)
    paper = dataclasses.replace(SLICES, hidden=FULL.hidden, components=FULL.components)
    return [
        Variant("", DEFAULT, FULL),
        Variant("context", "slice itself only", change(context=own, fallback=0)),
        Variant("context", "slice itself and the one before", change(context=one)),
        Variant("context", "4 previous slices only (paper)", paper),
        Variant("inputs", "no level tables", FULL, without_level_tables),
        Variant("inputs", "no activity", FULL, without_activity),
        *(
            Variant("hidden units", "x".join(map(str, hidden)), change(hidden=hidden))
            for hidden in HIDDEN
            if hidden != FULL.hidden
        ),
        *(
            Variant("components", f"{count} of the mixture", change(components=count))
            for count in COMPONENTS
            if count != FULL.components
        ),
        Variant("large model", "more context, units and components", LARGE),
    ]


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields the row of each variant on one volume."""
    block = common.read_centre(path, LARGEST)
    config = train.TrainingConfig(steps=arguments.training_steps)
    known = {"volume": common.name_of(path), "shape": common.shape_text(block.shape)}
    groups = arguments.groups.split(",")
    if unknown := set(groups) - set(GROUPS):
        raise ValueError(f"Got the groups {sorted(unknown)}, expected some of {GROUPS}.")
    parts = [rows_coded(block, config, groups)]
    if "precision" in groups:
        parts.append(rows_of_precision(block, config))
    if "order" in groups:
        parts.append(ablation_order.rows_of_order(block, config, NUM_PLACES))
    if "effort" in groups:
        parts.append(rows_of_efforts(block, config.steps if arguments.smoke else None))
    for row in itertools.chain.from_iterable(parts):
        print(f"{known['volume']}: {row['variant']}: {row['bits_per_voxel']:.4f}", flush=True)
        yield known | row


def rows_coded(block: Volume, config: train.TrainingConfig, groups: Sequence[str]) -> Iterator[Row]:
    """Yields the bits of the block, coded by the default and by each variant of the groups."""
    chosen = [variant for variant in variants() if variant.group in ("", *groups)]
    for variant in chosen if len(chosen) > 1 else []:
        with variant.change(block):
            trained = common.train_on(block, variant.architecture, config.steps)
            payload = encode_block(block, Model(variant.architecture, trained))
        yield {
            "group": variant.group,
            "variant": variant.name,
            "measured": "coded",
            "compared_with": DEFAULT,
            "bits_per_voxel": 8 * len(payload) / block.size,
            "num_params": variant.architecture.num_params,
            "multiply_adds": variant.architecture.multiply_adds_per_voxel,
            "network_bytes": len(network_bytes.pack(trained)),
            "training_steps": config.steps,
        }


def rows_of_precision(block: Volume, config: train.TrainingConfig) -> Iterator[Row]:
    """Yields what rounding weights, activations and distributions to integers costs."""
    places = common.random_places(block.shape, NUM_PLACES, seed=1)
    first = "integers, trained as such"

    row = lambda name, bits: common.expected_row("precision", name, first, bits, config.steps)
    init_key, draw_key = jax.random.split(jax.random.key(0))
    data, start = common.data_of(block, FULL), train.random_params(init_key, FULL)
    params = train.train_params(start, draw_key, data, FULL, config)
    yield row(first, integer_bits(block, params, places))
    with without_rounding():
        yield row("the same weights, in floats", float_bits(block, params, places))
        params = train.train_params(start, draw_key, data, FULL, config)
        yield row("floats, trained as such", float_bits(block, params, places))
    yield row("those, rounded afterwards", integer_bits(block, params, places))


def rows_of_efforts(block: Volume, steps: int | None) -> Iterator[Row]:
    """Yields the rate of an archive without, with one and with many networks of its own."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/block.npy", block)
        for effort in (1, 0, 2):
            options = jaxslice.CompressOptions(
                effort=effort, training_steps=steps, block_shape=EFFORT_BLOCKS, overwrite=True
            )
            report = jaxslice.compress(f"{folder}/block.npy", f"{folder}/archive.zarr", options)
            yield {
                "group": "effort",
                "variant": f"effort {effort}",
                "measured": "archive",
                "compared_with": "effort 1",
                "bits_per_voxel": report.bits_per_voxel,
                "num_params": report.num_params,
                "multiply_adds": report.multiply_adds_per_voxel,
            }


def integer_bits(block: Volume, params: train.Params, places: np.ndarray) -> float:
    """Mean bits at some places, of the exact integers."""
    rounded = to_integers(params, FULL)
    return float(common.bits_at(block, FULL, rounded, places).mean(dtype=np.float64))


def float_bits(block: Volume, params: train.Params, places: np.ndarray) -> float:
    """Mean bits at some places, of the network that training sees."""
    contexts, symbols, limits = common.contexts_at(block, FULL.context, places)
    return float(jax.jit(functools.partial(train.loss_of, architecture=FULL))(
        params, contexts=contexts, symbol=symbols, limit=limits
    ))  # fmt: skip


@contextlib.contextmanager
def _changed(*changes: contextlib.AbstractContextManager) -> Iterator[None]:
    """Makes changes that compiled programs do not outlive, on either side."""
    with contextlib.ExitStack() as stack:
        for change in changes:
            stack.enter_context(change)
        jax.clear_caches()
        yield
    jax.clear_caches()


def without_level_tables(_block: Volume) -> contextlib.AbstractContextManager:
    """Gives every slice all 256 levels."""
    every = functools.partial(np.ones, dtype=bool)
    return _changed(mock.patch.object(levels, "choose", lambda v: every((len(v), SYMBOL_LIMIT))))


def without_activity(block: Volume) -> contextlib.AbstractContextManager:
    """Holds the activity at its median over the block."""
    places = common.random_places(block.shape, NUM_PLACES, seed=1)
    contexts, *_ = common.contexts_at(block, FULL.context, places)
    median = int(np.median(features_of(jnp.asarray(contexts), FULL).activity))

    def constant(contexts: jax.Array, architecture: Architecture, *limit: jax.Array):
        features = features_of(contexts, architecture, *limit)
        return features._replace(activity=jnp.full_like(features.activity, median))

    return _changed(
        *(mock.patch.object(m, "features_of", constant) for m in (mixture, float_network))
    )


def without_rounding() -> contextlib.AbstractContextManager:
    """Lets the network that is trained compute in floats throughout."""
    return _changed(
        mock.patch.object(float_network, "_straight_through", lambda smooth, exact: smooth)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and draws."""
    parser = common.parser_of("ablation", __doc__, steps=1000)
    parser.add_argument("--groups", default=",".join(GROUPS), help="to measure, between commas")
    common.run(parser, arguments, measure, ablation_plot.draw, COLUMNS, key=("volume", "group"))


if __name__ == "__main__":
    main()
