"""Rates of 16-bit volumes, made from 8-bit ones, beside those of other codecs.

    python experiments/sixteen_bits.py VOLUME.npy... --kinds=12,16,times_16 --efforts=0,1
    python experiments/sixteen_bits.py --smoke --output=/tmp/sixteen_bits.csv

Each VOLUME is brought to 16-bit data of several kinds, as detectors would have recorded it: a gain
spreads the levels, a dark offset and the noise of counting and of reading are added, and the result
is rounded. So the low bits are real. Some kinds then multiply the levels, which leaves gaps, or
saturate the bright ones. All codecs get the same voxels, the middle of the volume. Speeds of
jaxslice are of one block on one core. Rows of other volumes and kinds are kept.

Cost: about 2 minutes for each volume and kind on one core. Expected: every row of jaxslice below
every peer, 0.96 of the best one on average.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np

import jaxslice
from jaxslice.archive.model import model_of
from jaxslice.archive.store import open_archive
from jaxslice.bench.peers import measure_peer, peers_of

COLUMNS = (
    "volume", "kind", "levels", "shape", "codec", "bits_per_voxel", "share_of_best_peer",
    "encode_mvoxels_per_s", "decode_mvoxels_per_s", "training_steps",
)  # fmt: skip

LARGEST = (24, 256, 256)
"""Voxels of a volume that are used, along z, y and x."""

PASSES = 3
"""Times that a block is coded; the quickest counts."""

PEERS = (
    "PNG", "JPEG-LS", "JPEG 2000", "JPEG-XL e7", "JPEG-XL e9", "zstd -19", "Blosc2, bitshuffle",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Kind:
    """How voxels are brought to 16 bits.

    Attributes:
      bits: of the detector.
      gain: of the levels, where 1 leaves room above the brightest.
      dark: the offset that the detector adds, as a share of its range.
      noise: standard deviation of the noise of reading, in levels of the 8-bit volume.
      factor: that the levels are multiplied by after rounding.
    """

    bits: int
    gain: float = 0.8
    dark: float = 0.03
    noise: float = 1.0
    factor: int = 1


KINDS = {
    "10": Kind(10),
    "12": Kind(12),
    "14": Kind(14),
    "16": Kind(16),
    "quiet": Kind(16, gain=0.1, dark=0.02, noise=0.3),
    "saturated": Kind(12, gain=1.4),
    "times_4": Kind(12, factor=4),
    "times_16": Kind(12, factor=16),
    "times_257": Kind(8, noise=0.5, factor=257),
}


def brought_to(kind: Kind, voxels: np.ndarray, seed: int = 0) -> np.ndarray:
    """A volume as a detector of this kind would have recorded it.

    Args:
      kind: of the detector.
      voxels: uint8 [z, y, x].
      seed: of the noise.

    Returns:
      uint16 [z, y, x].
    """
    draws = np.random.default_rng(seed)
    levels = voxels + draws.uniform(-0.5, 0.5, voxels.shape)  # as before they were rounded
    counting = np.sqrt(np.maximum(levels, 0) / 255)
    levels += (kind.noise * (0.5 + counting)) * draws.standard_normal(voxels.shape)
    most = (1 << kind.bits) - 1
    recorded = np.rint(most * (kind.dark + kind.gain * levels / 255))
    return (np.clip(recorded, 0, most) * kind.factor).astype(np.uint16)


def rows_of(
    voxels: np.ndarray, efforts: list[int], steps: int | None, scratch: Path
) -> Iterator[common.Row]:
    """Rows of all codecs on one volume: the peers, then jaxslice.

    Args:
      voxels: uint16 [z, y, x].
      efforts: of jaxslice.
      steps: optimiser steps from effort 1 on; None for the usual number.
      scratch: a folder for the volume and its archive.
    """
    best = float("inf")
    for peer in peers_of(voxels.dtype):
        if peer.name not in PEERS:
            continue
        result = measure_peer(peer, voxels)
        if not result.lossless:
            raise RuntimeError(f"Got other voxels back from {peer.name}: {result.note}.")
        best = min(best, result.bits_per_voxel)
        yield {
            "codec": peer.name,
            "bits_per_voxel": result.bits_per_voxel,
            "encode_mvoxels_per_s": voxels.size / 1e6 / max(result.encode_seconds, 1e-6),
            "decode_mvoxels_per_s": voxels.size / 1e6 / max(result.decode_seconds, 1e-6),
        }
    path, archive = scratch / "volume.npy", scratch / "archive.zarr"
    np.save(path, voxels)
    for effort in efforts:
        options = jaxslice.CompressOptions(effort=effort, training_steps=steps, overwrite=True)
        report = jaxslice.compress(str(path), str(archive), options)
        jaxslice.verify(str(archive), source=str(path))
        encode_seconds, decode_seconds = block_seconds(archive, voxels)
        yield {
            "codec": f"jaxslice effort {effort}",
            "bits_per_voxel": report.bits_per_voxel,
            "share_of_best_peer": report.bits_per_voxel / best,
            "encode_mvoxels_per_s": voxels.size / 1e6 / encode_seconds,
            "decode_mvoxels_per_s": voxels.size / 1e6 / decode_seconds,
            "training_steps": (steps or "") if effort else 0,
        }


def block_seconds(archive: Path, voxels: np.ndarray) -> tuple[float, float]:
    """CPU seconds of encoding and decoding a volume as one block with an archive's network."""
    model = model_of(open_archive(archive).configuration)
    times: list[tuple[float, float]] = []
    for _ in range(PASSES):
        start = time.process_time()
        payloads = jaxslice.encode_blocks([voxels], model)
        middle = time.process_time()
        jaxslice.decode_blocks(payloads, voxels.shape, model)
        times.append((middle - start, time.process_time() - middle))
    encode_seconds, decode_seconds = zip(*times, strict=True)
    return max(min(encode_seconds), 1e-6), max(min(decode_seconds), 1e-6)


def measure(path: str, given: argparse.Namespace) -> Iterator[common.Row]:
    """The rows of one volume, of all kinds that are asked for."""
    voxels = common.read_centre(path, LARGEST)
    for name in given.kinds.split(","):
        brought = brought_to(KINDS[name], voxels)
        named = {
            "volume": common.name_of(path),
            "kind": name,
            "levels": len(np.unique(brought)),
            "shape": common.shape_text(brought.shape),
        }
        efforts = [int(effort) for effort in given.efforts.split(",")]
        with tempfile.TemporaryDirectory() as scratch:
            for row in rows_of(brought, efforts, given.training_steps, Path(scratch)):
                print(f"{named['volume']:12} {name:10} {row['codec']:20}", end=" ")
                print(f"{row['bits_per_voxel']:.4f}", flush=True)
                yield named | row


def main(arguments: list[str] | None = None) -> None:
    parser = common.parser_of("sixteen_bits", __doc__, None)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of the data, comma-separated")
    parser.add_argument("--efforts", default="0,1")
    common.run(parser, arguments, measure, None, COLUMNS, ("volume", "kind", "codec"))


if __name__ == "__main__":
    main()
