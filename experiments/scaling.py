"""Time and peak memory over the size of a volume.

    python experiments/scaling.py snemi_ac4.npy --sizes=64,512,4096
    python experiments/scaling.py --sizes=64,512
    python experiments/scaling.py --plot-only
    python experiments/scaling.py --smoke --output=/tmp/scaling.csv

Sizes are in MB of 10**6 voxels. The given volume (or a synthetic one) is repeated along z into a
`.npy` file, which is read in parts. Each size is compressed at effort 0 without verification, and
decompressed, each time in a new process, whose peak resident memory is read when it ends.
Compilation and fitting count in `seconds`, not in MB/s. `bound_mb` is the estimate of
`jaxslice.jobs.resources`. Needs three times the largest size on the disk.

Cost: a minute for the two sizes on 2 cores. Expected: the same MB/s at all sizes that keep the
cores busy, and peak memory that does not grow with the volume.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import common
import numpy as np
from common import OURS, PAPER, Row

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.box import Triple

SHAPE: Triple = (64, 512, 512)
SMOKE_SIZES, SMOKE_BLOCK = "0.02,0.05", "8,40,48"
COLUMNS = (
    "volume", "direction", "megabytes", "shape", "blocks", "workers", "seconds", "mb_per_s",
    "bits_per_voxel", "peak_mb", "bound_mb",
)  # fmt: skip


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each size and direction."""
    tile = np.load(path, mmap_mode="r")
    for text in arguments.sizes.split(","):
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            shape = write_tiled(tile, float(text), f"{folder}/volume.npy")
            for direction in ("compress", "decompress"):
                given = [__file__, "--child", direction, folder, arguments.block_shape]
                done = subprocess.run([sys.executable, *given], check=True, stdout=subprocess.PIPE)
                row = {
                    "volume": common.name_of(path),
                    "direction": direction,
                    "megabytes": float(np.prod(shape)) / 1e6,
                    "shape": common.shape_text(shape),
                    **json.loads(done.stdout),
                }
                print(row, flush=True)
                yield row


def write_tiled(tile: np.ndarray, megabytes: float, path: str) -> Triple:
    """Writes a volume repeated along z until it has so many voxels; at least one slice."""
    plane = tile.shape[1] * tile.shape[2]
    shape = (max(1, round(megabytes * 1e6 / plane)), *tile.shape[1:])
    written = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    for start in range(0, shape[0], len(tile)):
        written[start : start + len(tile)] = tile[: min(len(tile), shape[0] - start)]
    written.flush()
    return shape


def child(direction: str, folder: str, block_shape: str) -> None:
    """Runs in a process of its own, and prints what it did and took as JSON."""
    import jaxslice
    from jaxslice.archive.store import open_archive
    from jaxslice.core.machine import peak_so_far_bytes
    from jaxslice.jobs.resources import prepare

    z, y, x = map(int, block_shape.split(","))
    archive = f"{folder}/archive.zarr"
    if direction == "compress":
        options = jaxslice.CompressOptions(effort=0, verify="none", block_shape=(z, y, x))
        report = jaxslice.compress(f"{folder}/volume.npy", archive, options)
    else:
        report = jaxslice.decompress(archive, f"{folder}/back.npy")
    seconds = report.seconds
    # Compiling and adapting go on side by side, before the first block.
    coding = seconds["total"] - max(seconds["compile"], seconds.get("adapt", 0.0))
    architecture = open_archive(archive).configuration.architecture
    peak = peak_so_far_bytes()
    resources = prepare(report.block_shape, architecture)
    row = {
        "blocks": report.num_blocks,
        "workers": resources.workers,
        "seconds": seconds["total"],
        "mb_per_s": report.raw_bytes / 1e6 / max(coding, 1e-3),
        "bits_per_voxel": report.bits_per_voxel,
        "peak_mb": peak / 1e6,
        "bound_mb": resources.peak_bytes / 1e6,
    }
    print(json.dumps(row))


def draw(rows: list[Row], output: Path) -> None:
    """Speeds, and peak memory beside the bound, over the size."""
    if not rows:
        return
    figure = common.new_figure(9, 3.8)
    speeds, peaks = figure.subplots(1, 2)
    for direction, colour in (("compress", OURS), ("decompress", PAPER)):
        some = sorted(
            (row for row in rows if row["direction"] == direction),
            key=lambda row: float(row["megabytes"]),
        )
        column = lambda name, some=some: [float(row[name]) for row in some]
        speeds.plot(column("megabytes"), column("mb_per_s"), "o-", color=colour, label=direction)
        peaks.plot(column("megabytes"), column("peak_mb"), "o-", color=colour, label=direction)
        peaks.plot(column("megabytes"), column("bound_mb"), ":", color=colour)
    speeds.set(xscale="log", xlabel="MB of voxels", ylabel="MB/s, all cores")
    peaks.set(xscale="log", xlabel="MB of voxels", ylabel="peak resident MB")
    peaks.set_title("dotted: the bound of jaxslice.jobs.resources", fontsize=9)
    for axes in (speeds, peaks):
        axes.set_ylim(bottom=0)
        common.bare(axes)
        axes.legend(frameon=False)
    figure.savefig(output.with_suffix(".png"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line, measures and draws."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--child"]:
        child(*given[1:])
        return
    parser = common.parser_of("scaling", __doc__, None)
    parser.add_argument("--sizes", default="64,512", help="MB of voxels, separated by commas")
    parser.add_argument("--block_shape", default="64,256,256")
    parser.add_argument("--scratch", help="folder for the volumes; the system's own if not given")
    with tempfile.TemporaryDirectory() as folder:
        if "--smoke" in given:
            parser.set_defaults(sizes=SMOKE_SIZES, block_shape=SMOKE_BLOCK)
        elif not parser.parse_args(given).volumes and "--plot-only" not in given:
            np.save(f"{folder}/synthetic.npy", synthetic_volume(SHAPE))
            given.append(f"{folder}/synthetic.npy")
        common.run(parser, given, measure, draw, COLUMNS)


if __name__ == "__main__":
    main()
