"""Encoding and decoding at effort 0 by both engines beside quick peers, in CPU seconds of one core.

    taskset -c 1 python experiments/speed.py VOLUME... --output=experiments/results/speed.csv
    python experiments/speed.py --smoke --output=/tmp/speed.csv

Each VOLUME is first compressed at effort 0, which fits the shipped network to it in closed form.
With the network of that archive, one block of at most 64x256x256 voxels from the volume's origin is
encoded and decoded. The peers code the same block; those that are not installed are named and left
out. Engines take turns, and the best time of each codec counts. Fitting, compilation, reading and
writing are not timed; level tables and checksums are. `bits_per_voxel` is of the block, without the
network. frontier.py measures all efforts and peers on whole volumes.

CPU seconds of one thread are less disturbed by other programs than wall time is. Run it bound to
one core (`taskset`): idle threads of XLA's pool spin, and their time would count.

Cost: 25 s for each volume on one core. Expected, of the native engine with AVX-512 VNNI: encoding
17 to 30 times as fast as JPEG-XL e7 and 2.3 to 2.6 times as fast as e3, decoding 3.1 to 4.4 and 1.7
to 2.0 times. The xla engine: 0.6 to 0.7 times e3 when encoding and 0.4 when decoding.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import common
import numpy as np
from common import Row

import jaxslice
from jaxslice.archive.model import model_of
from jaxslice.archive.store import open_archive
from jaxslice.bench import peers
from jaxslice.codec import block
from jaxslice.codec.network import Model
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import MissingExtraError
from jaxslice.core.types import Volume
from jaxslice.volumes.source import open_source

COLUMNS = ("volume", "codec", "bits_per_voxel", "encode_mb_per_cpu_s", "decode_mb_per_cpu_s")
LARGEST: Triple = (64, 256, 256)
ENGINES = ("native", "xla")
PEERS = (
    "JPEG-XL e7",
    "JPEG-XL e3",
    "JPEG-XL e1",
    "JPEG-LS",
    "HTJ2K",
    "vc-delta3d lpc",
    "OpenZL med",
)
ROUNDS = 4

Codec = tuple[Callable[[], list[bytes]], Callable[[list[bytes]], list[np.ndarray]]]


def fitted_model(path: str) -> Model:
    """The network of an archive of the volume at effort 0."""
    options = jaxslice.CompressOptions(effort=0, verify="none")
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/archive.zarr"
        jaxslice.compress(path, archive, options)
        return model_of(open_archive(archive).configuration)


def codecs_of(voxels: Volume, model: Model) -> dict[str, Codec]:
    """For each engine, what encodes the block and what decodes it to slices."""
    codecs: dict[str, Codec] = {
        f"jaxslice effort 0, {engine}": (
            lambda engine=engine: [block.encode_block(voxels, model, engine=engine)],
            lambda coded, engine=engine: list(
                block.decode_block(coded[0], voxels.shape, model, engine=engine)
            ),
        )
        for engine in ENGINES
    }
    return codecs


def peer_rows(voxels: Volume) -> Iterator[Row]:
    """Yields a row for each peer that is installed and can code the block."""
    for name in PEERS:
        try:
            result = peers.measure_peer(peers.peer_named(name), voxels, ROUNDS)
        except MissingExtraError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            continue
        if result.note:
            print(f"{name}: {result.note}", file=sys.stderr, flush=True)
            continue
        yield {
            "codec": name,
            "bits_per_voxel": result.bits_per_voxel,
            "encode_mb_per_cpu_s": voxels.size / 1e6 / result.encode_seconds,
            "decode_mb_per_cpu_s": voxels.size / 1e6 / result.decode_seconds,
        }


def measure(path: str, arguments: argparse.Namespace) -> Iterator[Row]:
    """Yields a row for each engine and each peer."""
    del arguments
    volume = open_source(path)
    z, y, x = (min(a, b) for a, b in zip(LARGEST, volume.shape, strict=True))
    voxels = volume.read(Box.of_shape((z, y, x), volume.box.start))
    model = fitted_model(path)
    for engine in ENGINES:
        block.compile_for((z, y, x), model.architecture, engine=engine)
    megabytes = voxels.size / 1e6
    codecs = codecs_of(voxels, model)
    best = {name: (float("inf"), float("inf")) for name in codecs}
    sizes = {}
    for _ in range(ROUNDS):
        for name, (encode, decode) in codecs.items():
            start = time.process_time()
            coded = encode()
            middle = time.process_time()
            back = decode(coded)
            end = time.process_time()
            if not all(map(np.array_equal, voxels, back)):
                raise SystemExit(f"Got other voxels from {name}, expected those encoded.")
            best[name] = min(best[name][0], middle - start), min(best[name][1], end - middle)
            sizes[name] = sum(map(len, coded))
    ours = (
        {
            "codec": name,
            "bits_per_voxel": 8 * sizes[name] / voxels.size,
            "encode_mb_per_cpu_s": megabytes / encode_seconds,
            "decode_mb_per_cpu_s": megabytes / decode_seconds,
        }
        for name, (encode_seconds, decode_seconds) in best.items()
    )
    for row in (*ours, *peer_rows(voxels)):
        print(row, flush=True)
        yield {"volume": common.name_of(path)} | row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures; there is no picture."""
    common.run(common.parser_of("speed", __doc__, steps=None), arguments, measure, None, COLUMNS)


if __name__ == "__main__":
    main()
