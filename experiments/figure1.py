"""Figure 1 of Hinkle et al. (2020): a cut through z, its prediction and how sure it is.

    python experiments/figure1.py fib25_a.npy vnc_a.npy
    python experiments/figure1.py --synthetic
    python experiments/figure1.py fib25_a.npy --voxel_size_nm=10,10,10 --pictures=/tmp
    python experiments/figure1.py --smoke --output=/tmp/figure1.csv

Two networks are trained on the middle of the volume. One reads the paper's context, the 4 previous
slices. The other reads ours, which adds the voxels of the slice itself that are already coded. Both
predict the z-x cut through the middle of the volume: the mean of the predicted distribution, and
its entropy, which is the number of bits that a voxel is expected to take.

The CSV has one row for each `context`: `expected_bits` is the mean entropy in the cut, `spent_bits`
the mean of the bits that its voxels really take, and `mean_error` the mean distance between the
predicted mean and the voxel, in grey levels. A picture shows voxels, so that pictures of public
data do not belong into this repository: they are drawn into the folder `--pictures`, and not at all
without it. The picture of the synthetic volume is drawn beside the CSV.

Cost: 1 minute a volume on one core. Expected: isotropic voxels can be predicted from the previous
slices (fib25_a: 5.15 bits against 4.56), those of serial sections cannot (vnc_a: 7.63 against
5.78).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np
from common import Row

from jaxslice.bench import figures
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import intervals, levels
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.curve import TOTAL, WEIGHT_TOTAL
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.types import Volume
from jaxslice.models.presets import CONTEXTS

LARGEST = (96, 256, 192)
COLUMNS = ("volume", "shape", "context", "expected_bits", "spent_bits", "mean_error")
SYNTHETIC = "synthetic"
GAP_ROWS = 4


@dataclasses.dataclass(frozen=True)
class Cut:
    """What one network makes of a cut, float [z, x] each.

    Attributes:
      mean: of the predicted distributions, in grey levels.
      entropy: of the predicted distributions, in bits.
      spent: the bits that the voxels take.
    """

    mean: np.ndarray
    entropy: np.ndarray
    spent: np.ndarray


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each context; draws the cut where its picture may be kept."""
    block = common.read_centre(path, LARGEST)
    name, y = common.name_of(path), block.shape[1] // 2
    original = block[:, y].astype(float)
    cuts = {}
    for context, architecture in CONTEXTS.items():
        network = common.train_on(block, architecture, arguments.training_steps)
        cut = cuts[context] = explain_cut(block, y, architecture, network)
        spent = float(cut.spent.mean())
        print(f"{name}, context {context}: {spent:.3f} bits in the cut", flush=True)
        yield {
            "volume": name,
            "shape": common.shape_text(block.shape),
            "context": context,
            "expected_bits": float(cut.entropy.mean()),
            "spent_bits": spent,
            "mean_error": float(np.abs(cut.mean - original).mean()),
        }
    output = arguments.output or common.RESULTS / "figure1.csv"
    folder = output.parent if name == SYNTHETIC else arguments.pictures
    if folder is not None:
        size_nm = [float(text) for text in arguments.voxel_size_nm.split(",")]
        draw(folder / f"figure1_{name}.png", name, original, cuts, size_nm)


def explain_cut(block: Volume, y: int, architecture: Architecture, network: IntegerNetwork) -> Cut:
    """Predicts the z-x cut at `y` of a block, as coding the block would."""
    depth, _, width = block.shape
    z, x = np.divmod(np.arange(depth * width), width)
    places = np.stack([z, np.full_like(z, y), x], axis=1)
    contexts, _, limits = common.contexts_at(block, architecture.context, places)
    mixture, entropy = _predict(network, architecture, contexts, limits)
    mean = np.sum(np.asarray(mixture.mean) * np.asarray(mixture.weight), axis=0, dtype=np.float64)
    symbols = (mean / (16 * WEIGHT_TOTAL)).reshape(depth, width)
    tables = levels.choose(block)
    grey = [
        np.interp(row, np.arange(table.sum()), np.flatnonzero(table))
        for row, table in zip(symbols, tables, strict=True)
    ]
    spent = common.bits_at(block, architecture, network, places)
    return Cut(
        np.stack(grey),
        np.asarray(entropy).reshape(depth, width),
        spent.reshape(depth, width),
    )


@functools.partial(jax.jit, static_argnames="architecture")
def _predict(network, architecture, contexts, limits):
    mixture = mixture_of(network, contexts, architecture)

    def add_symbol(symbol, entropy):
        _, freq = intervals.interval_of(mixture, jnp.full_like(limits, symbol), limits)
        share = freq.astype(jnp.float32) / TOTAL
        # Symbols beyond a slice's alphabet have an interval of no width.
        bits = jnp.where(symbol < limits, -share * jnp.log2(share), 0.0)
        return entropy + bits

    none = jnp.zeros(contexts.shape[1], jnp.float32)
    return mixture, jax.lax.fori_loop(0, limits.max(), add_symbol, none)


def draw(
    path: Path, name: str, original: np.ndarray, cuts: dict[str, Cut], voxel_size_nm: list[float]
) -> None:
    """Draws the cut as the paper's context predicts it, and below it as ours does, to one scale."""
    depth_nm, _, width_nm = voxel_size_nm
    height = max(1, round(depth_nm / width_nm))
    panels = []
    for above, below in (
        (original, original),
        (cuts["slices"].mean, cuts["full"].mean),
        (cuts["slices"].entropy, cuts["full"].entropy),
    ):
        # Dark, but no extreme that would stretch the scale of the colours.
        gap = np.full((GAP_ROWS, above.shape[1]), np.percentile([above, below], 1))
        tall = [np.repeat(cut, height, axis=0) for cut in (above, below)]
        panels.append(np.concatenate([tall[0], gap, tall[1]]))
    slices, full = (cuts[context].spent.mean() for context in ("slices", "full"))
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.figure1(
        path, *panels,
        title=f"{name}, z downwards. Above: the 4 previous slices, {slices:.2f} bits."
        f" Below: ours, {full:.2f} bits",
        voxel_size_nm=width_nm if width_nm != 1 else None,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and draws."""
    parser = common.parser_of("figure1", __doc__, steps=1500)
    parser.add_argument("--voxel_size_nm", default="1,1,1", help="z,y,x; 1,1,1 if not known")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the volumes' voxels")
    parser.add_argument("--synthetic", action="store_true", help="measure the synthetic volume")
    given = list(sys.argv[1:] if arguments is None else arguments)
    with tempfile.TemporaryDirectory() as folder:
        if "--synthetic" in given:
            given.append(f"{folder}/{SYNTHETIC}.npy")
            np.save(given[-1], synthetic_volume(LARGEST))
        common.run(parser, given, measure, None, COLUMNS)


if __name__ == "__main__":
    main()
