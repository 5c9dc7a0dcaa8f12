"""What an archive is, in numbers, without decoding any of it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.archive.store import Archive, compressed_bytes, open_scales
from jaxslice.core.box import Triple
from jaxslice.storage.draft import unfinished_draft

_READERS = 16
"""Blocks whose bytes are read at the same time."""


def info(location: str | os.PathLike[str], *, blocks: bool = False) -> Report:
    """Describes an archive from its metadata and the sizes of its objects.

    Args:
      location: a local folder or a file://, http(s)://, gs:// or s3:// URL.
      blocks: whether to describe each block as well, which reads all of them.

    Returns:
      Sizes in bytes, the architecture, the placement in nm and voxels, and the provenance.

    Raises:
      UsageError: there is no archive.
      FormatError: its metadata are damaged or of a later version.

    >>> import jaxslice
    >>> report = jaxslice.info("volume.zarr")
    >>> report.raw_bytes, report.details["shape"]
    (6144, [4, 32, 48])
    """
    scales = open_scales(location)
    opened = scales[0]
    details = {
        "shape": list(opened.shape),
        "data_type": opened.data_type,
        "voxel_size_nm": list(opened.placement.voxel_size_nm),
        "offset_voxels": list(opened.placement.offset_voxels),
        "architecture": opened.configuration.architecture.to_json(),
        "network_bytes": len(opened.configuration.packed_network),
        "seal": opened.root,
        "provenance": opened.provenance,
    }
    if len(scales) > 1:
        details["scales"] = {str(number): _scale(scale) for number, scale in enumerate(scales)}
    # Storage that does not say has no draft that this process could go on with.
    with contextlib.suppress(OSError):
        if left := unfinished_draft(opened.location):
            details["unfinished"] = left
    if blocks:
        details["blocks"] = [dataclasses.asdict(block) for block in blocks_of(opened)]
    return report_of(scales, {}, details)


def _scale(scale: Archive) -> dict[str, Any]:
    return {
        "shape": list(scale.shape),
        "voxel_size_nm": list(scale.placement.voxel_size_nm),
        "offset_voxels": list(scale.placement.offset_voxels),
        "block_shape": list(scale.block_shape),
        "blocks": scale.num_blocks,
    }


@dataclasses.dataclass(frozen=True)
class BlockSize:
    """What one block takes.

    Attributes:
      block: its index.
      box: its voxels, in global coordinates.
      bytes: of its payload.
      bits_per_voxel: of those voxels.
    """

    block: Triple
    box: str
    bytes: int
    bits_per_voxel: float


def blocks_of(opened: Archive) -> list[BlockSize]:
    """What each block takes, x fastest.

    Raises:
      FormatError: a block is missing.
      OSError: the storage cannot be reached.
    """

    def size_of(index: Triple) -> BlockSize:
        num_bytes, box = len(opened.read_payload(index)), opened.box_of(index)
        return BlockSize(index, str(box), num_bytes, round(8 * num_bytes / box.size, 4))

    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(size_of, opened.blocks()))


def report_of(
    scales: Sequence[Archive], seconds: dict[str, float], details: dict[str, Any] | None = None
) -> Report:
    """A report of an archive and of what was done with it.

    Args:
      scales: of the archive, the finest first; sizes and blocks are those of all of them.
      seconds: of each part of the work.
      details: whatever else there is to say.
    """
    opened = scales[0]
    architecture = opened.configuration.architecture
    voxels = sum(math.prod(scale.shape) for scale in scales)
    return Report(
        archive=opened.location,
        voxels=voxels,
        raw_bytes=voxels * opened.dtype.itemsize,
        compressed_bytes=compressed_bytes(scales),
        num_blocks=sum(scale.num_blocks for scale in scales),
        block_shape=opened.block_shape,
        num_params=architecture.num_params,
        multiply_adds_per_voxel=architecture.multiply_adds_per_voxel,
        seconds=seconds,
        details=details or {},
    )


@dataclasses.dataclass(frozen=True)
class Report:
    """What was done, in numbers.

    Attributes:
      archive: its location.
      voxels: of the volume.
      raw_bytes: of the volume's voxels.
      compressed_bytes: every byte of every object of the archive.
      num_blocks: of the archive.
      block_shape: of the archive.
      num_params: parameters of the network.
      multiply_adds_per_voxel: of one prediction.
      seconds: of each part of the work, summed over the threads that shared it, and `total`, the
        time on the clock.
      details: whatever else a command has to say.
    """

    archive: str
    voxels: int
    raw_bytes: int
    compressed_bytes: int
    num_blocks: int
    block_shape: Triple
    num_params: int
    multiply_adds_per_voxel: int
    seconds: dict[str, float]
    details: dict[str, Any]

    @property
    def bits_per_voxel(self) -> float:
        """8 * compressed bytes / voxels, everything counted."""
        return 8 * self.compressed_bytes / self.voxels

    @property
    def compression_ratio(self) -> float:
        """Raw bytes / compressed bytes."""
        return self.raw_bytes / self.compressed_bytes

    def to_json(self) -> dict[str, Any]:
        """The report as one flat JSON object."""
        fields = dataclasses.asdict(self)
        details = fields.pop("details")
        return {
            **fields,
            "block_shape": list(self.block_shape),
            "bits_per_voxel": round(self.bits_per_voxel, 5),
            "compression_ratio": round(self.compression_ratio, 5),
            **details,
        }
