"""Figure 1 of Hinkle et al. (2020): a cut through z, its prediction and how sure it is.

    python experiments/figure1.py fib25_a.npy --voxel_size_nm=10,10,10
    python experiments/figure1.py vnc_a.npy --voxel_size_nm=50,4.6,4.6
    python experiments/figure1.py --plot-only
    python experiments/figure1.py --smoke --output=/tmp/figure1.csv

Two networks are trained on the middle of the volume: one sees the paper's context, the 4 previous
slices, the other ours, which adds the voxels of the slice itself that are already coded. Both
predict the z-x cut through its middle: the mean of the predicted distribution, and its entropy,
the bits that a voxel is expected to take. Columns of the CSV: `part` is "original" (grey levels),
"prediction" (their mean, rounded) or "bits" (the entropy), of the network with `context`; `values`
are those of one row of the cut, the slice `z`, separated by spaces; `spent_bits` is what the voxels
of the whole cut really take under that network, on average.

Cost: 1 minute a volume on one core. Expected: isotropic voxels can be guessed from the previous
slices (fib25_a: 5.15 bits against 4.56), those of serial sections cannot (vnc_a: 7.64 against
5.79).
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np
from common import Row

from jaxslice.bench import figures
from jaxslice.codec import intervals, levels
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork, mixture_of
from jaxslice.core.types import Volume
from jaxslice.models.presets import CONTEXTS

LARGEST = (96, 256, 192)
COLUMNS = ("volume", "voxel_size_nm", "context", "part", "z", "spent_bits", "values")
GAP_ROWS = 4


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows of the cut through one volume: voxels, and what both networks expect."""
    block = common.read_centre(path, LARGEST)
    known = {"volume": common.name_of(path), "voxel_size_nm": arguments.voxel_size_nm}
    y = block.shape[1] // 2

    def rows(cut: np.ndarray, digits: int, **more) -> Iterator[Row]:
        for z, row in enumerate(cut):
            yield known | more | {"z": z, "values": " ".join(f"{v:.{digits}f}" for v in row)}

    yield from rows(block[:, y], 0, part="original")
    for name, architecture in CONTEXTS.items():
        network = common.train_on(block, architecture, arguments.training_steps)
        mean, entropy, spent = explain_cut(block, y, architecture, network)
        known["spent_bits"] = float(spent.mean())
        print(f"{known['volume']}, context {name}: {known['spent_bits']:.3f} bits in the cut")
        yield from rows(mean, 0, context=name, part="prediction")
        yield from rows(entropy, 2, context=name, part="bits")


def explain_cut(
    block: Volume, y: int, architecture: Architecture, network: IntegerNetwork
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicts the z-x cut at `y` of a block, as coding the block would.

    Returns:
      float [z, x] each: the predicted mean in grey levels, the predicted distribution's entropy in
      bits, and the bits that the voxels take.
    """
    depth, _, width = block.shape
    z, x = np.divmod(np.arange(depth * width), width)
    places = np.stack([z, np.full_like(z, y), x], axis=1)
    contexts, _, limits = common.contexts_at(block, architecture.context, places)
    mixture, entropy = _predict(network, architecture, contexts, limits)
    mean = np.sum(np.asarray(mixture.mean) * np.asarray(mixture.weight), axis=0, dtype=np.float64)
    symbols = (mean / (16 * intervals.WEIGHT_TOTAL)).reshape(depth, width)
    tables = levels.choose(block)
    grey = [
        np.interp(row, np.arange(table.sum()), np.flatnonzero(table))
        for row, table in zip(symbols, tables, strict=True)
    ]
    spent = common.bits_at(block, architecture, network, places)
    return np.stack(grey), np.asarray(entropy).reshape(depth, width), spent


@functools.partial(jax.jit, static_argnames="architecture")
def _predict(network, architecture, contexts, limits):
    mixture = mixture_of(network, contexts, architecture)

    def add_symbol(symbol, entropy):
        _, freq = intervals.interval_of(mixture, jnp.full_like(limits, symbol), limits)
        share = freq.astype(jnp.float32) / intervals.TOTAL
        # Symbols beyond a slice's alphabet have an interval of no width.
        bits = jnp.where(symbol < limits, -share * jnp.log2(share), 0.0)
        return entropy + bits

    none = jnp.zeros(contexts.shape[1], jnp.float32)
    return mixture, jax.lax.fori_loop(0, limits.max(), add_symbol, none)


def draw(rows: list[Row], output: Path) -> None:
    """Draws one picture for each volume: above the paper's context, below ours, to one scale."""
    for volume in dict.fromkeys(row["volume"] for row in rows):
        mine = [row for row in rows if row["volume"] == volume]
        depth_nm, _, width_nm = _numbers(mine[0]["voxel_size_nm"], ",")
        height = max(1, round(depth_nm / width_nm))
        cuts = []
        for part in ("original", "prediction", "bits"):
            above, below = (_cut(mine, part, context) for context in ("slices", "full"))
            # Dark, but no extreme that would stretch the scale of the colours.
            gap = np.full((GAP_ROWS, above.shape[1]), np.percentile([above, below], 1))
            tall = [np.repeat(cut, height, axis=0) for cut in (above, below)]
            cuts.append(np.concatenate([tall[0], gap, tall[1]]))
        bits = {row["context"]: float(row["spent_bits"]) for row in mine if row["spent_bits"]}
        figures.figure1(
            output.with_name(f"{output.stem}_{volume}.png"), *cuts,
            title=f"{volume}, z downwards. Above: the 4 previous slices, {bits['slices']:.2f} bits."
            f" Below: ours, {bits['full']:.2f} bits",
            voxel_size_nm=width_nm if width_nm != 1 else None,
        )  # fmt: skip


def _cut(rows: list[Row], part: str, context: str) -> np.ndarray:
    found = [r for r in rows if r["part"] == part and r["context"] in ("", context)]
    ordered = sorted(found, key=lambda row: int(row["z"]))
    return np.array([_numbers(row["values"], " ") for row in ordered])


def _numbers(text: str, separator: str) -> list[float]:
    return [float(number) for number in text.split(separator)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and draws."""
    parser = common.parser_of("figure1", __doc__, steps=1500)
    parser.add_argument("--voxel_size_nm", default="1,1,1", help="z,y,x; 1,1,1 if not known")
    common.run(parser, arguments, measure, draw, COLUMNS)


if __name__ == "__main__":
    main()
