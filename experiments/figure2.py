"""Figure 2 of Hinkle et al. (2020): bits of raw, PNG, the paper's model and ours, and why.

    python experiments/figure2.py fib25_a.npy snemi_ac4.npy vnc_a.npy
    python experiments/figure2.py --plot-only
    python experiments/figure2.py --smoke --output=/tmp/figure2.csv

The paper's model is its context, the 4 previous slices, in our network, training and coder. Rates
of both are those of real archives at effort 1, everything counted. Both networks are trained from
scratch on the volume alone: the shipped model may have seen it. PNG stands twice, as it is written
by default and with zlib's general strategy, which many programs use.

The reason is measured beside: the correlation of voxels with their neighbours along x, y and z,
within the level tables' symbols. A context of previous slices alone is worth what the correlation
along z is worth, and with serial sections that is little.

Cost: 4 minutes a volume on one core. Expected: on isotropic fib25_a 5.1 (paper) and 4.6 (ours)
against PNG's 5.0; on serial sections the paper's context loses to PNG (snemi_ac4: 7.4, ours 5.0,
PNG 5.6), as voxels correlate by less than 0.4 from slice to slice.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import jax
import numpy as np
from common import OURS, PAPER, PLAIN, TEXT, Row

import jaxslice
from jaxslice.bench import peers
from jaxslice.codec import levels
from jaxslice.models import model_file
from jaxslice.models.presets import FULL
from jaxslice.training import train
from jaxslice.training.parameters import to_integers
from jaxslice.volumes.source import open_source

COLUMNS = (
    "volume", "shape", "codec", "bits_per_voxel", "correlation_x", "correlation_y", "correlation_z",
)  # fmt: skip
PAPERS_NAME, OUR_NAME = "the paper's context", "jaxslice"
PNGS = ("PNG, general", "PNG")
COLOURS = {PAPERS_NAME: PAPER, OUR_NAME: OURS}


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields the row of each codec on one volume."""
    volume = open_source(path)
    voxels = volume.read(volume.box)
    known = {"volume": common.name_of(path), "shape": common.shape_text(voxels.shape)}
    known |= correlations(levels.symbols_of(voxels, levels.choose(voxels)))
    yield known | {"codec": "raw", "bits_per_voxel": 8.0}
    by_name = {peer.name: peer for peer in peers.peers()}
    for name in PNGS:
        result = peers.measure_peer(by_name[name], voxels)
        yield known | {"codec": name, "bits_per_voxel": result.bits_per_voxel}
    for name in (PAPERS_NAME, OUR_NAME):
        with tempfile.TemporaryDirectory() as folder:
            model = untrained_model(f"{folder}/model.json") if name == OUR_NAME else None
            options = jaxslice.CompressOptions(
                context="full" if model else "slices",
                model=model,
                training_steps=arguments.training_steps,
            )
            report = jaxslice.compress(path, f"{folder}/archive.zarr", options)
        print(f"{known['volume']}, {name}: {report.bits_per_voxel:.4f} bits per voxel", flush=True)
        yield known | {"codec": name, "bits_per_voxel": report.bits_per_voxel}


def untrained_model(path: str) -> str:
    """Writes a model of our architecture with random weights, to train from scratch; its path."""
    network = to_integers(train.random_params(jax.random.key(0), FULL), FULL)
    model_file.save(path, model_file.ModelFile(path, FULL, network, {}))
    return path


def correlations(symbols: np.ndarray) -> dict[str, float]:
    """Pearson's correlation of a volume with itself, moved by one voxel along each axis."""
    found = {}
    for axis, name in enumerate("zyx"):
        count = symbols.shape[axis] - 1
        a, b = (
            np.take(symbols, np.arange(start, start + count), axis).ravel().astype(np.float32)
            for start in (0, 1)
        )
        found[f"correlation_{name}"] = float(np.corrcoef(a, b)[0, 1])
    return found


def draw(rows: list[Row], output: Path) -> None:
    """Draws for each volume its rates, and below them its correlations along x, y and z."""
    volumes = list(dict.fromkeys(row["volume"] for row in rows))
    figure = common.new_figure(max(6.0, 3.6 * len(volumes)), 5.6)
    panels = figure.subplots(2, len(volumes), squeeze=False, height_ratios=(5, 3))
    for (rates, reasons), volume in zip(panels.T, volumes, strict=True):
        mine = [row for row in rows if row["volume"] == volume]
        values = {row["codec"]: float(row["bits_per_voxel"]) for row in mine}
        _bars(rates, values, [COLOURS.get(name, PLAIN) for name in values], "{:.2f}")
        rates.set_title(f"{volume}  ({mine[0]['shape']})", size=11, color=TEXT)
        rates.set_xlim(0, 9)
        rates.set_xlabel("bits per voxel (less is better)", size=9)
        axes = ("x", "y", "z")
        found = {f"along {axis}": float(mine[0][f"correlation_{axis}"]) for axis in axes}
        _bars(reasons, found, [PLAIN, PLAIN, PAPER], "{:.2f}")
        reasons.set_xlim(min(0.0, *found.values()), 1.15)
        reasons.set_xlabel("correlation of neighbouring voxels", size=9)
    for row in panels:
        for axes in row[1:]:
            axes.set_yticklabels([])
    figure.suptitle(
        "Previous slices alone (the paper's context) save as much as voxels correlate along z",
        size=12, weight="bold", color=TEXT,
    )  # fmt: skip
    figure.savefig(output.with_suffix(".png"))


def _bars(axes, values: dict[str, float], colours: list[str], form: str) -> None:
    places = range(len(values))
    bars = axes.barh(places, list(values.values()), height=0.7, color=colours)
    axes.bar_label(bars, [form.format(v) for v in values.values()], padding=3, size=9, color=TEXT)
    axes.set_yticks(places, list(values), size=10)
    axes.invert_yaxis()
    common.bare(axes)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and draws."""
    common.run(common.parser_of("figure2", __doc__, steps=None), arguments, measure, draw, COLUMNS)


if __name__ == "__main__":
    main()
