"""Rates and speeds of jaxslice at all efforts, and of all peers, on given volumes.

    python experiments/peers.py VOLUME... --output=experiments/results/peers.csv --plot=peers.png
    python experiments/peers.py --plot-only=peers.png --output=experiments/results/peers.csv
    python experiments/peers.py --smoke --output=/tmp/peers.csv

Every VOLUME (a z,y,x .npy file or a precomputed volume) is compressed at every effort into an
archive, verified voxel by voxel against its source, and compared with the peers. Rates count every
byte of every object. Speeds are those of coding alone on the wall clock, after compilation and
training (whose seconds are a column of their own), on one core that nothing else should use. With
`--all-cores`, codecs that work on separate slices or blocks also run on all cores, in rows of their
own, and jaxslice trains again for it.

The CSV is written after every codec. A row replaces the older one of the same volume, codec and
threads. The picture is drawn from the CSV alone.

Cost: 10 minutes for each 20 MB on one core. Expected: jaxslice effort 1 at 0.91 to 0.98 of JPEG-XL
e7. With `--peers=none` only jaxslice is measured again; the rows of other codecs stay.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np
import provenance
from common import Row, as_text, read_rows, write_rows
from peers_plot import OURS, draw

import jaxslice
from jaxslice.bench import peers
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import UsageError
from jaxslice.core.machine import num_cores
from jaxslice.volumes.source import open_source

RESULTS = common.RESULTS / "peers.csv"
CORES = num_cores()
COLUMNS: tuple[str, ...] = (
    "volume", "shape", "codec", "bits_per_voxel", "encode_mb_per_s", "decode_mb_per_s",
    "threads", "lossless", "train_seconds",
)  # fmt: skip


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keeps all threads of this process, and the programs that it starts, on some of its cores."""
    every = os.sched_getaffinity(0)

    def keep(cores: set[int]) -> None:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # a thread that has just ended
                os.sched_setaffinity(int(thread), cores)

    keep(set(sorted(every)[-count:]))
    try:
        yield
    finally:
        keep(every)


def rows_of_jaxslice(
    path: str, scratch: Path, effort: int, steps: int | None, all_cores: bool
) -> Iterator[Row]:
    """Compresses a volume at one effort; yields its rows, none if the effort cannot run."""
    archive = str(scratch / "archive.zarr")
    # All cores come first: XLA makes its threads once, for the cores that it finds.
    for cores in [CORES, 1] if all_cores and CORES > 1 else [1]:
        with on_cores(cores):
            try:
                options = jaxslice.CompressOptions(
                    effort=effort, training_steps=steps, workers=cores, overwrite=True
                )
                packed = jaxslice.compress(path, archive, options)
            except UsageError as error:
                print(f"  {OURS}{effort}: skipped: {error}", file=sys.stderr, flush=True)
                return
            unpacked = jaxslice.verify(archive, source=path, workers=cores)
        # Reports add up the seconds of all workers, and round them to thousandths.
        megabytes = packed.raw_bytes / 1e6 * cores
        yield {
            "codec": f"{OURS}{effort}",
            "bits_per_voxel": packed.bits_per_voxel,
            "encode_mb_per_s": megabytes / max(packed.seconds["encode"], 0.001),
            "decode_mb_per_s": megabytes / max(unpacked.seconds["decode"], 0.001),
            "threads": cores,
            "lossless": True,  # or `verify` would have raised
            "train_seconds": packed.seconds["train"],
        }


def rows_of_peer(peer: peers.Peer, voxels: np.ndarray, all_cores: bool) -> Iterator[Row]:
    """Measures one peer on one core, and on all if requested and its slices are independent."""
    with on_cores(1):
        result = peers.measure_peer(peer, voxels)
    if result.note:
        print(f"  {peer.name}: {result.note}", file=sys.stderr, flush=True)
        return
    megabytes = voxels.size / 1e6
    row = {
        "codec": peer.name,
        "bits_per_voxel": result.bits_per_voxel,
        "encode_mb_per_s": megabytes / result.encode_seconds,
        "decode_mb_per_s": megabytes / result.decode_seconds,
        "threads": 1,
        "lossless": result.lossless,
        "train_seconds": 0,
    }
    yield row
    if all_cores and CORES > 1 and not peer.whole_volume:
        encode_seconds, decode_seconds = peers.seconds_together(peer, voxels, CORES)
        yield row | {
            "encode_mb_per_s": megabytes / encode_seconds,
            "decode_mb_per_s": megabytes / decode_seconds,
            "threads": CORES,
        }


def add_row(path: Path, row: Row) -> None:
    """Puts a row into a CSV, in place of the older one of the same measurement."""
    (stamped,) = provenance.stamped([row])
    written = as_text(stamped)
    key = ("codec", "threads")
    kept = [
        old
        for old in read_rows(path)
        if old["volume"] != written["volume"]
        or (old["shape"] == written["shape"] and any(old[k] != written[k] for k in key))
    ]
    write_rows(path, COLUMNS, [*kept, written])


def measure(arguments: argparse.Namespace, scratch: Path) -> None:
    """Measures all volumes, and writes the CSV as it goes."""
    steps, chosen = None, []
    if arguments.smoke:
        arguments.volumes, steps = [str(scratch / "synthetic.npy")], 50
        np.save(arguments.volumes[0], synthetic_volume((8, 64, 64)))
    if arguments.peers != "none":
        chosen = peers.peers() if arguments.peers == "quick" else peers.all_peers()
    if arguments.peers == "all":
        for name, reason in peers.missing_peers().items():
            print(f"  {name}: {reason}", file=sys.stderr)
    for path in arguments.volumes:
        volume = open_source(path)
        voxels = volume.read(volume.box)
        known = {"volume": Path(path).stem, "shape": "x".join(map(str, voxels.shape))}
        every = arguments.all_cores
        ours = (rows_of_jaxslice(path, scratch, n, steps, every) for n in arguments.efforts)
        theirs = (rows_of_peer(peer, voxels, every) for peer in chosen)
        for measured in (*ours, *theirs):
            for row in measured:
                add_row(arguments.output, known | row)
                print(
                    f"{row['codec']:26} {known['volume']:12} {row['bits_per_voxel']:.4f} bpv, "
                    f"{row['encode_mb_per_s']:.2f} / {row['decode_mb_per_s']:.2f} MB/s, "
                    f"{row['threads']} threads",
                    flush=True,
                )


def main() -> None:
    """Reads the command line, measures and draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("volumes", nargs="*")
    parser.add_argument("--output", type=Path, help=f"the CSV, {RESULTS} if not given")
    parser.add_argument("--efforts", default="0,1,2,3", help="of jaxslice; empty for none")
    parser.add_argument("--peers", choices=("all", "quick", "none"))
    parser.add_argument("--all-cores", action="store_true", help="measure on all cores as well")
    parser.add_argument("--plot", type=Path, help="a PNG to draw when all is measured")
    parser.add_argument("--plot-only", type=Path, help="a PNG to draw; nothing is measured")
    parser.add_argument("--smoke", action="store_true", help="a tiny synthetic volume")
    arguments = parser.parse_args()
    if bool(arguments.volumes) + arguments.smoke + bool(arguments.plot_only) != 1:
        parser.error("expected either volumes, or --smoke, or --plot-only")
    if arguments.smoke and not arguments.output:
        parser.error("got no --output, expected one with --smoke: its numbers are no results")
    if not all(effort.isdigit() for effort in arguments.efforts.split(",") if effort):
        parser.error(f"got --efforts={arguments.efforts}, expected numbers between commas")
    arguments.efforts = [int(effort) for effort in arguments.efforts.split(",") if effort]
    arguments.peers = arguments.peers or ("quick" if arguments.smoke else "all")
    arguments.output = arguments.output or RESULTS
    if not arguments.plot_only:
        with tempfile.TemporaryDirectory() as folder:
            measure(arguments, Path(folder))
    if picture := arguments.plot_only or arguments.plot:
        draw(read_rows(arguments.output), picture)


if __name__ == "__main__":
    main()
