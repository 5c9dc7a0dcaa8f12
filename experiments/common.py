"""Shared by the experiments: command line, volumes, CSVs, random places, exact bits, pictures.

Every experiment measures into one CSV, whose rows of other volumes it keeps, and draws its pictures
from that CSV alone.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import provenance

from jaxslice.bench import palette
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import levels
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.network import IntegerNetwork
from jaxslice.codec.numpy_features import numpy_features_of
from jaxslice.core.box import Box, Triple
from jaxslice.core.types import Volume
from jaxslice.training.batch import Batch
from jaxslice.training.config import TrainingConfig
from jaxslice.training.numpy_network import bits_of_batch, layers_of
from jaxslice.training.train import train_network
from jaxslice.training.training_set import TrainingSet, prepare
from jaxslice.volumes.source import open_source

RESULTS = Path(__file__).parent / "results"
SMOKE_SHAPE: Triple = (8, 40, 48)
SMOKE_STEPS = 50
OURS, PAPER, PLAIN, TEXT = palette.OURS, "#3f6fa5", palette.OTHERS, palette.TEXT
"""Colours of jaxslice, of the paper's context, of everything else, and of text."""

Row = dict[str, Any]


def parser_of(name: str, description: str | None, steps: int | None) -> argparse.ArgumentParser:
    """The flags that all experiments have.

    Args:
      name: of the experiment and so of its CSV.
      description: the docstring of its module.
      steps: optimiser steps of each network; None where production decides.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("volumes", nargs="*", help="z,y,x .npy files or precomputed volumes")
    parser.add_argument("--output", type=Path, help=f"the CSV, {RESULTS / name}.csv if not given")
    parser.add_argument("--training_steps", type=int, default=steps)
    parser.add_argument("--plot-only", action="store_true", help="draw; nothing is measured")
    parser.add_argument("--smoke", action="store_true", help="a tiny synthetic volume")
    parser.set_defaults(name=name)
    return parser


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    measure: Callable[[str, argparse.Namespace], Iterable[Row]],
    draw: Callable[[list[Row], Path], None] | None,
    columns: Sequence[str],
    key: Sequence[str] = ("volume",),
) -> None:
    """Reads the command line, measures one volume after the other, and draws.

    Args:
      parser: from `parser_of`.
      arguments: of the command line; the process's own if None.
      measure: yields the rows of the volume at a path, each with the name of the volume.
      draw: draws the rows of the CSV, as strings, into pictures beside the CSV's path; None if
        there is no picture of the CSV alone.
      columns: of the CSV.
      key: columns; rows of the CSV that share them with measured ones are replaced by these.
    """
    given = parser.parse_args(arguments)
    check_one_of_volumes_smoke_plot(parser, given)
    if given.plot_only and draw is None:
        parser.error("got --plot-only, expected volumes or --smoke: no picture comes from this CSV")
    output = given.output or RESULTS / f"{given.name}.csv"
    with tempfile.TemporaryDirectory() as folder:
        if given.smoke:
            given.volumes, given.training_steps = [f"{folder}/synthetic.npy"], SMOKE_STEPS
            np.save(given.volumes[0], synthetic_volume(SMOKE_SHAPE))
        for path in given.volumes:
            replace_volume(output, columns, list(measure(path, given)), key)
    if draw is not None:
        draw(read_rows(output), output)


def check_one_of_volumes_smoke_plot(
    parser: argparse.ArgumentParser, given: argparse.Namespace
) -> None:
    """Ends the process with a message unless one thing was requested, with what it needs."""
    if bool(given.volumes) + given.smoke + given.plot_only != 1:
        parser.error("expected either volumes, or --smoke, or --plot-only")
    if given.smoke and not given.output:
        parser.error("got no --output, expected one with --smoke: its numbers are no results")


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV, as strings; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def replace_volume(
    path: Path, columns: Sequence[str], rows: list[Row], key: Sequence[str] = ("volume",)
) -> None:
    """Writes measured rows into a CSV, in place of those with the same values of `key`.

    Every row gets the columns of `provenance.COLUMNS`.
    """
    written = [as_text(row) for row in provenance.stamped(rows)]
    measured = {tuple(row[k] for k in key) for row in written}
    kept = [row for row in read_rows(path) if tuple(row[k] for k in key) not in measured]
    write_rows(path, columns, [*kept, *written])


def as_text(row: Row) -> Row:
    """A row as CSVs hold it."""
    return {k: f"{v:.5g}" if isinstance(v, float) else str(v) for k, v in row.items()}


def write_rows(path: Path, columns: Sequence[str], rows: list[Row]) -> None:
    """Writes a CSV of `columns` and those of `provenance.COLUMNS`; an older file is replaced whole.

    Args:
      path: of the CSV.
      columns: without those of the provenance.
      rows: stamped by `provenance.stamped`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "w", newline="") as file:
        writer = csv.DictWriter(
            file, (*columns, *provenance.COLUMNS), restval="", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def name_of(path: str) -> str:
    """The name of a volume in CSVs and pictures."""
    return Path(path.rstrip("/")).stem


def read_centre(path: str, largest: Triple) -> Volume:
    """The voxels in the middle of a volume, at most `largest` along z, y and x."""
    volume = open_source(path)
    shape = tuple(min(most, n) for most, n in zip(largest, volume.shape, strict=True))
    start = tuple(
        o + (n - size) // 2
        for o, n, size in zip(volume.box.start, volume.shape, shape, strict=True)
    )
    return volume.read(Box.of_shape(shape, start))  # type: ignore[arg-type]


def shape_text(shape: Sequence[int]) -> str:
    """A shape as CSVs hold it."""
    return "x".join(map(str, shape))


def data_of(block: Volume, architecture: Architecture) -> TrainingSet:
    """A block to train on. Contexts that reach to later slices find a border there as well."""
    later = max(0, *(dz for dz, _, _ in architecture.context))
    depth, height, width = block.shape
    return prepare([block], architecture, shape=(depth + later, height, width))


def train_on(block: Volume, architecture: Architecture, steps: int) -> IntegerNetwork:
    """Trains a network on a block, from scratch."""
    return train_network(data_of(block, architecture), architecture, TrainingConfig(steps=steps))


def random_places(shape: Sequence[int], count: int, seed: int) -> np.ndarray:
    """int [n, 3]: z, y, x of at most `count` voxels of a shape, without repeats."""
    total = int(np.prod(shape))
    chosen = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    return np.stack(np.unravel_index(np.sort(chosen), shape), axis=1)


def contexts_at(
    block: Volume, context: Sequence[Triple], places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network sees at some voxels of a block, and what it has to predict.

    Args:
      block: uint8 [z, y, x].
      context: offsets (dz, dy, dx), causal or not.
      places: int [n, 3], z, y, x of the voxels.

    Returns:
      Contexts float32 [c, n], symbols int32 [n], sizes of their alphabets int32 [n].
    """
    tables = levels.choose(block)
    reach = np.abs(np.array(context)).max(axis=0)
    symbols = levels.symbols_of(block, tables).astype(np.int32)
    padded = np.pad(symbols, [(n, n) for n in reach], constant_values=OUTSIDE)
    z, y, x = (places + reach).T
    contexts = np.stack([padded[z + dz, y + dy, x + dx] for dz, dy, dx in context])
    limits = levels.sizes(tables)[places[:, 0]]
    return contexts.astype(np.float32), symbols[tuple(places.T)].astype(np.int32), limits


def bits_at(
    block: Volume, architecture: Architecture, network: IntegerNetwork, places: np.ndarray
) -> np.ndarray:
    """Bits that the integers of a network spend on some voxels of a block, float32 [n]."""
    contexts, symbols, limits = contexts_at(block, architecture.context, places)
    batch = Batch(numpy_features_of(contexts, architecture, limits), symbols, limits)
    return bits_of_batch(layers_of(network), batch, architecture)


def expected_row(
    group: str, variant: str, compared_with: str, bits: np.ndarray | float, steps: int
) -> Row:
    """A row of the ablation that was measured as mean bits at random places, not by coding."""
    return {
        "group": group,
        "variant": variant,
        "measured": "expected",
        "compared_with": compared_with,
        "bits_per_voxel": float(np.mean(bits, dtype=np.float64)),
        "training_steps": steps,
    }


def new_figure(width_inches: float, height_inches: float) -> Any:
    """A matplotlib figure that needs no display and touches no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Any) -> None:
    """Takes away the lines of a panel that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
