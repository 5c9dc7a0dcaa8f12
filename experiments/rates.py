"""Rates and speeds of jaxslice and its peers on volumes of one's own.

    python experiments/rates.py VOLUME... --output=experiments/results/rates.csv
    python experiments/rates.py --smoke --output=/tmp/rates.csv

Every VOLUME (a z,y,x .npy file or a precomputed volume) is compressed at effort 1 into an archive,
verified voxel by voxel against its source, and compared with the peers slice by slice. Rates count
every byte of every object. Speeds are those of coding alone on the wall clock, after compilation
and training, everything in memory: jaxslice with one worker for each core, peers with one process
thread and, in columns of their own, with as many threads as cores.

Rows of other volumes that the CSV holds already are kept.

Cost: about 2 minutes for each 20 MB on 2 cores. Expected: jaxslice 0.91 to 0.98 of JPEG-XL e7.
"""

import argparse
import csv
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import jaxslice
from jaxslice import peers
from jaxslice.archive import create_archive, open_archive
from jaxslice.block import compile_for
from jaxslice.blockwise import batch_and_workers, decode_all, encode_all
from jaxslice.source import open_source
from jaxslice.stages import Stopwatch
from jaxslice.synthetic import synthetic_volume
from jaxslice.zarr_codec import model_of

CORES = len(os.sched_getaffinity(0))
COLUMNS = (
    "volume", "shape", "codec", "bits_per_voxel", "encode_mb_per_s", "decode_mb_per_s",
    "threads", "lossless", "train_seconds",
)  # fmt: skip


def quiet(part, done, total):
    """Progress that is not shown."""


def rows_of_jaxslice(path: str, scratch: Path, options: jaxslice.CompressOptions, codec: str):
    """Compresses a volume; yields its row."""
    archive = str(scratch / "archive.zarr")
    report = jaxslice.compress(path, archive, options)
    jaxslice.verify(archive, source=path)
    opened, volume = open_archive(archive), open_source(path)
    model = model_of(opened.configuration)
    batch, workers = batch_and_workers(options.batch_blocks, options.workers)
    compile_for(opened.block_shape, model, batch)
    again = create_archive(
        str(scratch / "again.zarr"), volume.box, opened.block_shape, opened.configuration,
        volume.placement, {"blocks_bytes": 0}, overwrite=True,
    )  # fmt: skip
    without_check = jaxslice.CompressOptions(verify="none")
    with again as made:
        start = time.perf_counter()
        encode_all(volume, made, model, without_check, batch, workers, Stopwatch(), quiet)
        encode_seconds = time.perf_counter() - start
    start = time.perf_counter()
    decode_all(
        opened, model, None, lambda index, voxels: None, batch, workers, Stopwatch(),
        quiet,
    )  # fmt: skip
    decode_seconds = time.perf_counter() - start
    yield {
        "codec": codec,
        "bits_per_voxel": report.bits_per_voxel,
        "encode_mb_per_s": report.raw_bytes / encode_seconds / 1e6,
        "decode_mb_per_s": report.raw_bytes / decode_seconds / 1e6,
        "threads": workers,
        "lossless": True,
        "train_seconds": report.seconds["train"],
    }


def rows_of_peers(voxels: np.ndarray):
    """Measures the peers, with one thread and with all cores."""
    for peer in peers.peers():
        result = peers.measure_peer(peer, voxels)
        if result.note:
            print(f"  {peer.name}: {result.note}")
            continue
        row = {
            "codec": peer.name,
            "bits_per_voxel": result.bits_per_voxel,
            "lossless": result.lossless,
            "train_seconds": 0,
        }
        megabytes = voxels.size / 1e6
        yield row | {
            "encode_mb_per_s": megabytes / result.encode_seconds,
            "decode_mb_per_s": megabytes / result.decode_seconds,
            "threads": 1,
        }
        if not peer.whole_volume:
            slices = [np.ascontiguousarray(plane) for plane in voxels]
            with ThreadPoolExecutor(CORES) as pool:
                start = time.perf_counter()
                coded = list(pool.map(peer.encode, slices))
                middle = time.perf_counter()
                list(pool.map(peer.decode, coded))
                end = time.perf_counter()
            yield row | {
                "encode_mb_per_s": megabytes / (middle - start),
                "decode_mb_per_s": megabytes / (end - middle),
                "threads": CORES,
            }


def main() -> None:
    """Measures, and writes the CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("volumes", nargs="*")
    parser.add_argument("--output", required=True)
    parser.add_argument("--smoke", action="store_true", help="a tiny synthetic volume")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        steps = None
        if arguments.smoke:
            arguments.volumes, steps = [str(scratch / "synthetic.npy")], 50
            np.save(arguments.volumes[0], synthetic_volume((8, 64, 64)))
        rows = []
        for path in arguments.volumes:
            volume = open_source(path)
            voxels = volume.read(volume.box)
            known = {"volume": Path(path).stem, "shape": "x".join(map(str, voxels.shape))}
            full = jaxslice.CompressOptions(training_steps=steps, overwrite=True)
            previous = jaxslice.CompressOptions(
                training_steps=steps, overwrite=True, context="slices"
            )
            for measured in (
                rows_of_jaxslice(path, scratch, full, "jaxslice effort 1"),
                rows_of_jaxslice(path, scratch, previous, "jaxslice --context=slices"),
                rows_of_peers(voxels),
            ):
                for row in measured:
                    rows.append(known | row)
                    print(
                        f"{row['codec']:26} {known['volume']:12} {row['bits_per_voxel']:.4f} bpv, "
                        f"{row['encode_mb_per_s']:.2f} / {row['decode_mb_per_s']:.2f} MB/s, "
                        f"{row['threads']} threads",
                        flush=True,
                    )
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    measured = {row["volume"] for row in rows}
    if Path(arguments.output).exists():
        with open(arguments.output, newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["volume"] not in measured] + rows
    with open(arguments.output, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})


if __name__ == "__main__":
    main()
