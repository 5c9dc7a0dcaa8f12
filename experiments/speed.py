"""Encoding and decoding of the shipped model beside JPEG-XL e7, in CPU seconds of one core.

    taskset -c 1 python experiments/speed.py VOLUME... --output=experiments/results/speed.csv

One block of each VOLUME, at most 64x256x256 from its origin, is coded by both in turns, several
times over; the best time of each counts. CPU seconds of a single thread, because wall time on a
machine that others use says little; both codecs work on blocks or slices apart, so cores multiply
both alike. Reading, writing and compilation are not in it, level tables and checksums are.

Bound to one core (`taskset`), as the threads of XLA's pool otherwise spin and are counted. JPEG-XL
is up to half as quick again on slices of 512x512 as on those of a block; `peers.py` has whole ones.

Cost: 10 s for each volume. Expected: encoding 4.7 to 8 times as fast as JPEG-XL e7, decoding 0.7 to
1.0 times.
"""

import argparse
import time
from pathlib import Path

import common

from jaxslice.bench.peers import peers
from jaxslice.codec import block
from jaxslice.core.box import Box
from jaxslice.models import model_file
from jaxslice.volumes.source import open_source

COLUMNS = ("volume", "codec", "bits_per_voxel", "encode_mb_per_cpu_s", "decode_mb_per_cpu_s")
ROUNDS = 4


def measure(path: str):
    """Yields a row for each of the two codecs."""
    volume = open_source(path)
    shape = tuple(min(a, b) for a, b in zip((64, 256, 256), volume.shape, strict=True))
    voxels = volume.read(Box.of_shape(shape, volume.box.start))
    model = model_file.load("default").model
    block.compile_for(shape, model.architecture)
    (other,) = [peer for peer in peers() if peer.name == "JPEG-XL e7"]
    codecs = {
        "jaxslice effort 0": (
            lambda: [block.encode_block(voxels, model)],
            lambda coded: block.decode_block(coded[0], shape, model),
        ),
        other.name: (
            lambda: [other.encode(plane) for plane in voxels],
            lambda coded: [other.decode(data) for data in coded],
        ),
    }
    best = {name: [float("inf")] * 2 for name in codecs}
    sizes = {}
    for _ in range(ROUNDS):
        for name, (encode, decode) in codecs.items():
            start = time.process_time()
            coded = encode()
            middle = time.process_time()
            back = decode(coded)
            end = time.process_time()
            if any((a != b).any() for a, b in zip(voxels, back, strict=True)):
                raise SystemExit(f"Got other voxels back from {name}.")
            best[name] = [
                min(*pair) for pair in zip(best[name], (middle - start, end - middle), strict=True)
            ]
            sizes[name] = sum(map(len, coded))
    for name in codecs:
        yield {
            "volume": common.name_of(path),
            "codec": name,
            "bits_per_voxel": 8 * sizes[name] / voxels.size,
            "encode_mb_per_cpu_s": voxels.size / 1e6 / best[name][0],
            "decode_mb_per_cpu_s": voxels.size / 1e6 / best[name][1],
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("volumes", nargs="+")
    parser.add_argument("--output", type=Path, default=common.RESULTS / "speed.csv")
    given = parser.parse_args()
    for path in given.volumes:
        for row in measure(path):
            print(row, flush=True)
            common.replace_volume(given.output, COLUMNS, [row], ("volume", "codec"))


if __name__ == "__main__":
    main()
