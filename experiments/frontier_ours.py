"""Rate and speed of jaxslice at one effort on one volume, for frontier.py."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence

import numpy as np
from common import Row

import jaxslice
from jaxslice.archive.model import model_of
from jaxslice.archive.store import Archive, open_archive
from jaxslice.codec import block, body, payload
from jaxslice.core.types import Volume
from jaxslice.volumes.source import open_source


def measure(path: str, effort: int | str, model: str | None, passes: int) -> Row:
    """Compresses a volume, then encodes and decodes its blocks in memory.

    Args:
      path: of the volume.
      effort: of `jaxslice.compress`.
      model: path of the model to start from; the effort's own if None.
      passes: over all blocks. Of each block the quickest counts.

    Returns:
      Bits per voxel of the archive, MB of voxels per CPU second of encoding and of decoding, and
      the seconds of fitting. Encoding uses the networks that the archive has.

    Raises:
      UsageError: the effort cannot run.
      SystemExit: other voxels came back.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = jaxslice.CompressOptions(
            effort=effort, model=model, verify="none", workers=1  # type: ignore[arg-type]
        )  # fmt: skip
        report = jaxslice.compress(path, f"{folder}/archive.zarr", options)
        opened = open_archive(f"{folder}/archive.zarr")
        blocks, payloads = _blocks_of(path, opened), [*map(opened.read_payload, opened.blocks())]
    encode_seconds, decode_seconds = _seconds(opened, blocks, payloads, passes)
    megabytes = report.raw_bytes / 1e6
    return {
        "bits_per_voxel": report.bits_per_voxel,
        "encode_mb_per_cpu_s": megabytes / encode_seconds,
        "decode_mb_per_cpu_s": megabytes / decode_seconds,
        "fit_seconds": sum(report.seconds.get(part, 0) for part in ("train", "train_blocks")),
        "lossless": True,
    }


def _blocks_of(path: str, opened: Archive) -> list[Volume]:
    """The voxels of all blocks, filled up with zeros beyond the volume, as they are encoded."""
    source = open_source(path)
    voxels = (source.read(opened.box_of(index)) for index in opened.blocks())
    return [
        np.pad(part, [(0, b - n) for b, n in zip(opened.block_shape, part.shape, strict=True)])
        for part in voxels
    ]


def _seconds(
    opened: Archive, blocks: Sequence[Volume], payloads: Sequence[bytes], passes: int
) -> tuple[float, float]:
    """CPU seconds of encoding and of decoding all blocks, one after the other."""
    model, shape = model_of(opened.configuration), opened.block_shape
    own = opened.configuration.block_networks
    networks = [_own_network(data, shape) for data in payloads]
    best = np.full((2, len(blocks)), np.inf)
    for _ in range(passes):
        for number, (part, network) in enumerate(zip(blocks, networks, strict=True)):
            start = time.process_time()
            differences = [network] if own else None
            (coded,) = block.encode_blocks([part], model, differences=differences)
            middle = time.process_time()
            decoded = block.decode_block(coded, shape, model, block_networks=own)
            end = time.process_time()
            if not np.array_equal(part, decoded):
                raise SystemExit("Got other voxels, expected those of the volume.")
            best[:, number] = np.minimum(best[:, number], (middle - start, end - middle))
    return float(best[0].sum()), float(best[1].sum())


def _own_network(data: bytes, shape: tuple[int, int, int]) -> bytes | None:
    item = payload.unpack(data, shape)
    return body.split_coded_body(item).difference if item.block_network else None
