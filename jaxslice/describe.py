"""What an archive is, in numbers, without decoding any of it."""

from __future__ import annotations

import math
from typing import Any

from jaxslice.archive import Archive, open_archive
from jaxslice.options import Report


def info(location: str) -> Report:
    """Describes an archive from its metadata and the sizes of its objects.

    Raises:
      UsageError: there is no archive.
      FormatError: its metadata are damaged or of a later version.
    """
    opened = open_archive(location)
    details = {
        "shape": list(opened.shape),
        "voxel_size_nm": list(opened.placement.voxel_size_nm),
        "offset_voxels": list(opened.placement.offset_voxels),
        "architecture": opened.configuration.architecture.to_json(),
        "network_bytes": len(opened.configuration.packed_network),
        "provenance": opened.provenance,
    }
    return report_of(opened, {}, details)


def report_of(
    opened: Archive, seconds: dict[str, float], details: dict[str, Any] | None = None
) -> Report:
    """A report of an archive and of what was done with it."""
    architecture = opened.configuration.architecture
    return Report(
        archive=opened.location,
        raw_bytes=math.prod(opened.shape),
        compressed_bytes=opened.compressed_bytes(),
        num_blocks=opened.num_blocks,
        block_shape=opened.block_shape,
        num_params=architecture.num_params,
        multiply_adds_per_voxel=architecture.multiply_adds_per_voxel,
        seconds=seconds,
        details=details or {},
    )
