"""Estimates of how far below jaxslice any codec can go, given the noise.

    python experiments/noise_floor.py fib25_a.npy vnc_a.npy ...
    python experiments/noise_floor.py --plot-only
    python experiments/noise_floor.py --smoke --output=/tmp/noise_floor.csv

All of these are estimates with assumptions, not proofs. The first two use different methods:

1. `surrounded_bits`. A network sees the voxels on all sides, those of later slices too, but not the
   voxel itself, as a blind-spot denoiser does (Batson & Royer 2019). Its bits estimate the erasure
   entropy, the mean of H(voxel | all others), a lower bound on the bits per voxel of every
   lossless code (Verdu & Weissman 2008). They are no code: in no order of coding does every voxel
   have all others before it, so this bound is far from what can be reached where neighbouring
   voxels are alike. And the network is finite: its bits lie above the true erasure entropy, so that
   a better one would move the estimate down.
2. `noise_bits`. If a voxel is a smooth signal plus white normal noise, rounded, then a code spends
   at least the entropy of the rounded noise, even if it knew the signal. The standard deviation
   comes from the second differences of 3 x 3 voxels (Immerkaer 1996), by their median, in classes
   of brightness, each in the quarter of its places whose surroundings are flattest; the
   surroundings are other voxels than those that are measured. Texture counts as noise (too high);
   noise that is smooth across neighbouring voxels is seen in part (too low). `wide_over_narrow` is
   the standard deviation from voxels two apart over that from neighbours: 1 for white noise alone,
   above 1 where the noise is smooth or texture is left. Then this is a floor too deep to reach.
3. `order_bits` says how much of the distance to 1. is the price of coding in an order at all. For a
   stationary normal process with power spectrum S, coding it costs log2(G / H) / 2 bits per voxel
   more than its erasure entropy, G and H being the geometric and the harmonic mean of S, however
   good the coder (Kolmogorov's formula; Verdu & Weissman 2008). S is measured in windows of
   16 x 32 x 32 symbols, each scaled to unit second differences; windows that are nearly constant
   count as 0. EM is neither stationary nor normal: `surrounded_bits + order_bits` is a guess at
   what can be reached, with an error of some percent, and may come out above what was reached.

`jaxslice_bits` is what our own integers spend at the same places, trained for as many steps on the
same crop: no bytes of network, level tables or coder, so that it compares with the others.

Cost: 1 minute a volume on one core. Expected: `surrounded_bits` 2.4 (sbem_mito) to 20 %
(isbi_train) below `jaxslice_bits`, but these within 2.7 % of `surrounded_bits + order_bits` on five
of the seven development volumes: 9 % above it on isbi_train, and 5 % below it on hotknife, two
fifths of whose crop are black.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import numpy as np
from common import OURS, PAPER, PLAIN, TEXT, Row

from jaxslice.codec import levels
from jaxslice.codec.architecture import Architecture
from jaxslice.core.box import Triple
from jaxslice.models.presets import FULL

LARGEST = (96, 384, 384)
NUM_PLACES = 1 << 18
BRIGHTNESS_CLASSES = 24
FLATTEST_SHARE = 0.25
WINDOW = (16, 32, 32)
NUM_WINDOWS = 400
LEAST_VARIANCE = 0.5
"""Of the second differences of a window that is not taken for constant, in symbols."""

COLUMNS = (
    "volume", "shape", "jaxslice_bits", "surrounded_bits", "noise_bits", "order_bits",
    "noise_levels", "wide_over_narrow", "training_steps",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Surrounded(Architecture):
    """An `Architecture` whose context may be anything but the voxel itself: it can code nothing."""

    def __post_init__(self):
        """Refuses the voxel itself, as predicting it would be no news."""
        if (0, 0, 0) in self.context:
            raise ValueError("Got a context that holds the voxel itself, expected only others.")


def all_sides() -> Surrounded:
    """A network with twice our hidden units on the 3-D surroundings, the nearest voxels first."""
    reach = {0: 3, 1: 2, 2: 1}
    offsets: list[Triple] = [
        (dz, dy, dx)
        for dz in range(-2, 3)
        for dy in range(-reach[abs(dz)], reach[abs(dz)] + 1)
        for dx in range(-reach[abs(dz)], reach[abs(dz)] + 1)
        if (dz, dy, dx) != (0, 0, 0)
    ]
    offsets.sort(key=lambda o: (o[0] != 0, o[0] ** 2 + o[1] ** 2 + o[2] ** 2, o))
    hidden = tuple(2 * units for units in FULL.hidden)
    return Surrounded(tuple(offsets), 12, offsets.index((-1, 0, 0)), hidden, FULL.components)


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields the one row of a volume."""
    block = common.read_centre(path, LARGEST)
    places = common.random_places(block.shape, NUM_PLACES, seed=1)
    row: Row = {"volume": common.name_of(path), "shape": common.shape_text(block.shape)}
    for name, architecture in (("jaxslice", FULL), ("surrounded", all_sides())):
        network = common.train_on(block, architecture, arguments.training_steps)
        bits = common.bits_at(block, architecture, network, places)
        row[f"{name}_bits"] = float(bits.mean(dtype=np.float64))
    # In symbols, as gaps between the levels that a slice uses hold no noise.
    symbols = levels.symbols_of(block, levels.choose(block)).astype(np.float32)
    row |= noise_of(symbols) | {"order_bits": order_bits(symbols)}
    row["training_steps"] = arguments.training_steps
    print(row, flush=True)
    yield row


def noise_of(symbols: np.ndarray) -> Row:
    """The noise's entropy in bits per voxel, its mean standard deviation, and how white it is."""
    narrow, brightness, slope = _responses(symbols, 1)
    wide, *_ = _responses(symbols, 2)
    edges = np.unique(np.quantile(brightness, np.linspace(0, 1, BRIGHTNESS_CLASSES + 1)[1:-1]))
    member = np.searchsorted(edges, brightness, side="left")
    deviations, wider, bits, shares = [], [], [], []
    for index in np.unique(member):
        mine = member == index
        flat = mine & (slope <= np.quantile(slope[mine], FLATTEST_SHARE))
        deviation = _deviation(narrow[flat])
        deviations.append(deviation)
        wider.append(_deviation(wide[flat]))
        bits.append(rounded_normal_entropy(deviation))
        shares.append(mine.mean())
    mean_deviation = float(np.dot(shares, deviations))
    mean_wider = float(np.dot(shares, wider))
    return {
        "noise_bits": float(np.dot(shares, bits)),
        "noise_levels": mean_deviation,
        "wide_over_narrow": mean_wider / mean_deviation if mean_deviation else math.nan,
    }


def _responses(symbols: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second differences of 3 x 3 voxels `step` apart, and brightness and slope around them.

    The noise's standard deviation is that of the second differences. Brightness and slope come from
    the eight voxels at a distance of 3 (along y, along x, or both), so that they say nothing about
    the noise in the nine.
    """
    reach = 3
    _, height, width = symbols.shape
    if min(height, width) <= 2 * reach:
        raise ValueError(f"Got slices of {height} x {width}, expected more than {2 * reach}.")

    def moved(dy: int, dx: int) -> np.ndarray:
        rows, columns = (slice(reach + d, n - reach + d) for d, n in ((dy, height), (dx, width)))
        return symbols[:, rows, columns].reshape(-1)

    second = np.zeros_like(moved(0, 0))
    for dy, row in zip((-step, 0, step), ((1, -2, 1), (-2, 4, -2), (1, -2, 1)), strict=True):
        for dx, factor in zip((-step, 0, step), row, strict=True):
            second += np.float32(factor / 6) * moved(dy, dx)
    far = {(y, x): moved(3 * y, 3 * x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)}
    brightness = sum(far.values()) / 8
    along = [
        sum(sign * plane for (y, x), plane in far.items() if (y, x)[axis] == sign)
        for axis in (0, 1)
        for sign in (-1, 1)
    ]
    slope = np.abs(along[0] + along[1]) + np.abs(along[2] + along[3])
    return second, brightness, slope


def _deviation(responses: np.ndarray) -> float:
    """Standard deviation of normal noise from its median size, less that of rounding."""
    spread = float(np.median(np.abs(responses))) / 0.67449
    return math.sqrt(max(spread**2 - 1 / 12, 0.0))


def rounded_normal_entropy(deviation: float) -> float:
    """Bits of a normal variable, rounded to integers, averaged over where between them its mean is.

    From standard deviations of 1 on it is log2(2 pi e deviation**2) / 2.
    """
    if deviation < 1e-3:
        return 0.0
    reach = 1 + math.ceil(8 * deviation)
    edges = np.arange(-reach, reach + 1) + 0.5
    erf = np.vectorize(math.erf)
    entropies = []
    for mean in (np.arange(16) + 0.5) / 16:
        share = np.diff(erf((edges - mean) / (deviation * math.sqrt(2)))) / 2
        share = share[share > 0]
        entropies.append(float(-(share * np.log2(share)).sum()))
    return sum(entropies) / len(entropies)


def order_bits(symbols: np.ndarray, seed: int = 1) -> float:
    """What any order of coding costs beyond the erasure entropy, for a normal process like this.

    Args:
      symbols: float32 [z, y, x].
      seed: of the choice of windows.

    Returns:
      Bits per voxel.
    """
    generator = np.random.default_rng(seed)
    shape = [min(most, size) for most, size in zip(WINDOW, symbols.shape, strict=True)]
    taper = functools.reduce(np.multiply.outer, [np.hanning(size + 2)[1:-1] for size in shape])
    spectrum, used = np.zeros(shape), 0
    for _ in range(NUM_WINDOWS):
        start = [
            generator.integers(0, n - m + 1) for n, m in zip(symbols.shape, shape, strict=True)
        ]
        inside = tuple(slice(a, a + m) for a, m in zip(start, shape, strict=True))
        window = symbols[inside].astype(np.float64)
        variance = np.diff(np.diff(window, axis=1), axis=2).var()
        if variance >= LEAST_VARIANCE:
            window -= np.average(window, weights=taper)
            spectrum += np.abs(np.fft.fftn(window * taper)) ** 2 / variance
            used += 1
    if not used:
        return 0.0
    power = spectrum.ravel()[1:]  # the mean was taken away
    ratio = np.exp(np.log(power).mean()) * np.mean(1 / power)
    return float(np.log2(ratio) / 2 * used / NUM_WINDOWS)


def draw(rows: list[Row], output: Path) -> None:
    """Draws for each volume its rates as points on one line."""
    values = {
        key: np.array([float(row[key]) for row in rows])
        for key in ("noise_bits", "surrounded_bits", "order_bits", "jaxslice_bits")
    }
    reachable = values["surrounded_bits"] + values["order_bits"]
    styles = (
        (values["noise_bits"], "white noise alone (too deep)", PLAIN, "D", 45),
        (values["surrounded_bits"], "sees all sides (no code)", PAPER, "s", 50),
        (reachable, "the same, and the price of an order", TEXT, "|", 260),
        (values["jaxslice_bits"], "jaxslice's network", OURS, "o", 60),
    )
    figure = common.new_figure(9.5, 1.9 + 0.5 * len(rows))
    axes = figure.subplots()
    places = np.arange(len(rows))
    every = np.stack([style[0] for style in styles])
    axes.hlines(places, every.min(0), every.max(0), color="#e3e6e9", linewidth=5, zorder=1)
    for rates, label, colour, marker, size in styles:
        axes.scatter(rates, places, s=size, color=colour, marker=marker, label=label, zorder=2)
    more = 100 * (values["jaxslice_bits"] / reachable - 1)
    for place, percent in enumerate(more):
        axes.annotate(
            f"{percent:+.1f} %", (every[:, place].max(), place), xytext=(12, 0),
            textcoords="offset points", va="center", size=9, color=TEXT,
        )  # fmt: skip
    axes.set_yticks(places, [row["volume"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=math.floor(every.min() - 0.2), right=every.max() + 0.6)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_xlabel(
        "bits per voxel; percent: jaxslice's network over the guess at what is reachable"
    )
    common.bare(axes)
    figure.suptitle("How much the noise leaves to gain: estimates", weight="bold", color=TEXT)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(output.with_suffix(".png"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and draws."""
    parser = common.parser_of("noise_floor", __doc__, steps=1500)
    common.run(parser, arguments, measure, draw, COLUMNS)


if __name__ == "__main__":
    main()
