"""Bits per voxel over encoding and decoding speed: jaxslice at all efforts and all peers.

    taskset -c 1 python experiments/frontier.py VOLUME... --models=FOLDER
    python experiments/frontier.py --plot-only
    python experiments/frontier.py --smoke --output=/tmp/frontier.csv

Every codec encodes and decodes every VOLUME on one core, and the voxels are compared. Speeds are in
CPU seconds of coding alone, which other programs disturb less than wall time; of a few passes the
quickest counts, for each slice or block on its own. Starting, compiling, reading and writing are
left out. So is the fitting of jaxslice's network, whose seconds are a column. Rates of jaxslice
count every byte of the archive.

With --models=FOLDER, an effort that starts from a shipped model starts instead from one that was
trained without the data set of the volume (see leave_one_out.py, which makes it in FOLDER if it is
not there): the column `model` says "left out", and "shipped" without the flag.

The CSV is written after every row. Rows that are there already are not measured again, unless
--again is given, so that the run can be stopped and goes on. --only=NAME (may be repeated) measures
one codec. Efforts and peers that cannot run are named and skipped. The picture is drawn from the
CSV alone, once for light and once for dark backgrounds.

Cost: 35 minutes for all seven volumes on one core, half of it x265. Expected: no peer is both
smaller and faster than an effort of jaxslice.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import common
import frontier_ours
import frontier_plot
import leave_one_out
import numpy as np
from common import Row

from jaxslice.bench import peers
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import MissingExtraError, UsageError
from jaxslice.core.types import Volume
from jaxslice.volumes.source import open_source

COLUMNS = (
    "volume", "shape", "codec", "model", "bits_per_voxel", "encode_mb_per_cpu_s",
    "decode_mb_per_cpu_s", "fit_seconds", "lossless",
)  # fmt: skip
EFFORTS = "fast,0,1,2,3"
PASSES = 5
ENOUGH_SECONDS = 20
"""No other pass is begun after this many CPU seconds."""

Measure = Callable[[str], Row]


def row_of_peer(peer: peers.Peer, voxels: Volume) -> Row:
    """Measures one peer on a volume.

    Raises:
      UsageError: the peer cannot code the volume, or not without loss.
    """
    result = peers.measure_peer(peer, voxels, PASSES, ENOUGH_SECONDS)
    if result.note:
        raise UsageError(result.note)
    megabytes = voxels.nbytes / 1e6
    return {
        "model": "",
        "bits_per_voxel": result.bits_per_voxel,
        "encode_mb_per_cpu_s": megabytes / result.encode_seconds,
        "decode_mb_per_cpu_s": megabytes / result.decode_seconds,
        "fit_seconds": 0,
        "lossless": result.lossless,
    }


def row_of_effort(effort: int | str, path: str, arguments: argparse.Namespace) -> Row:
    """Measures jaxslice at one effort on a volume.

    Raises:
      UsageError: the effort cannot run.
    """
    model, name = None, "own"
    if leave_one_out.starts_from_model(effort):
        name = "shipped"
        if arguments.models:
            name = "left out"
            model = leave_one_out.model_of_effort(
                path, arguments.volumes, effort, arguments.models, None
            )
    return {"model": name} | frontier_ours.measure(path, effort, model, PASSES)


def codecs(arguments: argparse.Namespace) -> Iterator[tuple[str, Measure]]:
    """Name of each codec, and what measures it on the volume at a path."""
    for effort in arguments.efforts:
        yield (
            f"{frontier_plot.OURS}{effort}",
            lambda path, effort=effort: row_of_effort(effort, path, arguments),
        )
    for name in peers.names() if arguments.peers else ():

        def measure(path: str, name: str = name) -> Row:
            volume = open_source(path)
            return row_of_peer(peers.peer_named(name), volume.read(volume.box))

        yield name, measure


def run(arguments: argparse.Namespace) -> None:
    """Measures what is missing in the CSV, which is written after every row."""
    for codec, measure in codecs(arguments):
        if arguments.only and codec not in arguments.only:
            continue
        for path in arguments.volumes:
            key = {
                "volume": common.name_of(path),
                "shape": common.shape_text(open_source(path).shape),
                "codec": codec,
            }
            done = any(key.items() <= row.items() for row in common.read_rows(arguments.output))
            if done and not arguments.again:
                continue
            try:
                row = key | measure(path)
            except (MissingExtraError, UsageError) as error:
                print(f"{codec}: skipped: {error}", file=sys.stderr, flush=True)
                break
            common.replace_volume(arguments.output, COLUMNS, [row], ("volume", "codec"))
            print(
                f"{codec:22} {key['volume']:12} {row['bits_per_voxel']:.4f} bits per voxel, "
                f"{row['encode_mb_per_cpu_s']:.1f} / {row['decode_mb_per_cpu_s']:.1f} MB/s",
                flush=True,
            )


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, measures and draws."""
    parser = common.parser_of("frontier", __doc__, steps=None)
    parser.add_argument("--efforts", default=EFFORTS, help="of jaxslice; empty for none")
    parser.add_argument("--models", type=Path, help="models that left one data set out")
    parser.add_argument("--peers", choices=("all", "none"), default="all")
    parser.add_argument("--only", action="append", help="a codec to measure, and no other")
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    given = parser.parse_args(arguments)
    common.check_one_of_volumes_smoke_plot(parser, given)
    given.efforts = leave_one_out.efforts_of(given.efforts)
    given.peers = given.peers == "all"
    given.output = given.output or common.RESULTS / "frontier.csv"
    with tempfile.TemporaryDirectory() as folder:
        if given.smoke:
            given.volumes = [f"{folder}/synthetic.npy"]
            np.save(given.volumes[0], synthetic_volume(common.SMOKE_SHAPE))
        if not given.plot_only:
            run(given)
    frontier_plot.draw(common.read_rows(given.output), given.output)


if __name__ == "__main__":
    main()
