"""Rates of archives by the shape of their blocks, with and without a network for each block.

    python experiments/block_size.py fib25_a.npy snemi_ac4.npy
    python experiments/block_size.py --plot-only
    python experiments/block_size.py --smoke --output=/tmp/block_size.csv

Every archive is trained as its effort prescribes, and every byte in it is counted. The shapes
requested are fitted to the volume (`block_shape`); shapes that become equal are measured once.
`own_networks` is the number of blocks that store a network of their own. Training starts from the
shipped model, which may have seen the volume: compare the rates with each other, not with those of
other codecs.

A larger block spends a smaller share on its start (no context at its faces, a head for each lane,
level tables, checksums) and keeps more lanes busy. A smaller block costs less to read a few voxels
from (`read_voxels`: a whole block is decoded to read one voxel), and leaves more blocks to share
among cores. A network for each block (effort 2) pays only in blocks that are large enough. An
archive's network is tuned on patches of at most 24 blocks, so that small blocks also mean less to
train on.

Cost: 1 to 3 minutes for each shape, effort and volume on one core. Expected: from (16, 64, 64) to
(64, 256, 256) the rate falls by 1.6 to 1.8 %, and from there by 0.1 %, which is why (64, 256, 256)
is the default; in volumes of few slices blocks have as many voxels, and at efforts 2
and 3 twice as many.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
from common import OURS, PAPER, TEXT, Row

import jaxslice
from jaxslice.core.box import Triple
from jaxslice.jobs.block_shape import BLOCK_SHAPE, fitted_block_shape
from jaxslice.volumes.source import open_source

SHAPES: tuple[Triple, ...] = (
    (16, 64, 64), (32, 128, 128), (64, 128, 128), BLOCK_SHAPE, (128, 256, 256), (64, 256, 512),
    (128, 512, 512),
)  # fmt: skip
SMOKE_SHAPES: tuple[Triple, ...] = ((4, 20, 24), (8, 40, 48))
COLUMNS = (
    "volume", "shape", "effort", "block_shape", "num_blocks", "read_voxels", "bits_per_voxel",
    "own_networks", "encode_mb_per_s", "train_seconds", "training_steps",
)  # fmt: skip


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each effort and block shape of one volume."""
    shape = open_source(path).shape
    largest = SMOKE_SHAPES if arguments.smoke else SHAPES
    fitted = dict.fromkeys(fitted_block_shape(requested, shape) for requested in largest)
    known = {"volume": common.name_of(path), "shape": common.shape_text(shape)}
    for effort in (int(text) for text in arguments.efforts.split(",")):
        for block_shape in fitted:
            row = row_of(path, block_shape, effort, arguments.training_steps)
            print(known | row, flush=True)
            yield known | row


def row_of(path: str, block_shape: Triple, effort: int, steps: int | None) -> Row:
    """Compresses a volume in blocks of one shape."""
    options = jaxslice.CompressOptions(
        effort=effort, block_shape=block_shape, training_steps=steps, verify="none"
    )
    with tempfile.TemporaryDirectory() as folder:
        report = jaxslice.compress(path, f"{folder}/archive.zarr", options)
    return {
        "effort": effort,
        "block_shape": common.shape_text(report.block_shape),
        "num_blocks": report.num_blocks,
        "read_voxels": math.prod(report.block_shape),
        "bits_per_voxel": report.bits_per_voxel,
        "own_networks": report.details["own_networks"],
        # Seconds are summed over the threads, so that this is the speed of one of them.
        "encode_mb_per_s": report.raw_bytes / report.seconds["encode"] / 1e6,
        "train_seconds": report.seconds["train"] + report.seconds.get("train_blocks", 0.0),
        "training_steps": steps or "",
    }


def draw(rows: list[Row], output: Path) -> None:
    """Draws for each volume the rate over the voxels of a block, a line for each effort."""
    volumes = list(dict.fromkeys(row["volume"] for row in rows))
    figure = common.new_figure(1.0 + 4.6 * len(volumes), 4.4)
    panels = figure.subplots(1, len(volumes), squeeze=False)[0]
    for axes, volume in zip(panels, volumes, strict=True):
        mine = [row for row in rows if row["volume"] == volume]
        for effort in dict.fromkeys(row["effort"] for row in mine):
            line = sorted((r for r in mine if r["effort"] == effort), key=_voxels)
            colour = OURS if effort == "1" else PAPER
            places, bits = [_voxels(r) for r in line], [float(r["bits_per_voxel"]) for r in line]
            axes.plot(places, bits, "o-", color=colour, label=f"effort {effort}")
            for place, rate in zip(places, bits, strict=True):
                axes.annotate(
                    f"{rate:.3f}", (place, rate), xytext=(0, 8 if effort == "1" else -16),
                    textcoords="offset points", ha="center", size=9, color=colour,
                )  # fmt: skip
        shapes = {_voxels(row): row["block_shape"].replace("x", "\n") for row in mine}
        axes.set_xscale("log")
        axes.set_xticks(list(shapes), list(shapes.values()), size=9)
        axes.minorticks_off()
        axes.margins(0.12, 0.2)
        axes.set_title(f"{volume}  ({mine[0]['shape']})", size=11, color=TEXT)
        axes.set_xlabel("block shape: z, y, x", size=9)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        common.bare(axes)
        axes.legend(frameon=False)
    panels[0].set_ylabel("bits per voxel, everything counted", size=10)
    figure.suptitle("What larger blocks save", weight="bold", color=TEXT)
    figure.savefig(output.with_suffix(".png"))


def _voxels(row: Row) -> int:
    return int(row["read_voxels"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and draws."""
    parser = common.parser_of("block_size", __doc__, steps=None)
    parser.add_argument("--efforts", default="1,2", help="of jaxslice, between commas")
    common.run(parser, arguments, measure, draw, COLUMNS, key=("volume", "effort"))


if __name__ == "__main__":
    main()
