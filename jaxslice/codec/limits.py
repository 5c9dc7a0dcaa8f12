"""Limits of the format (FORMAT.md, section 9): what exceeds them is refused, whatever it says."""

from __future__ import annotations

import math

from jaxslice.codec.geometry import Geometry
from jaxslice.codec.versions import ARCHIVE_VERSION
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.shorten import short_repr

MAX_AXIS = 2**31 - 1
"""Voxels of a volume along one axis."""

MAX_VOXELS = 2**62
"""Voxels of a volume."""

MAX_BLOCK_AXIS = 2**16
"""Voxels of a block along one axis. Long rows march for minutes whatever their content."""

MAX_BLOCK_VOXELS = 2**28
"""Voxels of a block."""

MAX_OLD_BLOCK_VOXELS = 2**31 - 1
"""Voxels of a block before version 4."""

MAX_SHARD_BLOCKS = 2**16
"""Blocks of a shard: its index is read as a whole."""

MAX_STEPS = 2**31 - 1
"""Time steps of a block."""

MAX_OFFSET = 2**53
"""Voxels from the origin, along one axis: what a JSON number says exactly."""

MAX_JSON_BYTES = 2**24
"""Bytes of a `zarr.json`."""

MAX_JSON_DEPTH = 64
"""Nesting of a `zarr.json`."""


MAX_PAYLOAD_OVERHEAD = 2**24
"""Bytes of a payload beyond twice those of its block's voxels."""


def most_payload_bytes(block_shape: Triple, voxel_bytes: int = 1) -> int:
    """Largest number of bytes of a payload.

    Args:
      block_shape: z, y, x.
      voxel_bytes: of a voxel.
    """
    return 2 * math.prod(block_shape) * voxel_bytes + MAX_PAYLOAD_OVERHEAD


def most_words(shape: Triple, voxel_bytes: int = 1) -> int:
    """Largest number of words in the tail of a message: longer ones are stored as plain voxels.

    Args:
      shape: (z, y, x) of the voxels that the message holds.
      voxel_bytes: of a voxel.
    """
    depth, height, width = shape
    return depth * height * width * voxel_bytes // 4 + 1


def check_volume(shape: Triple) -> None:
    """Refuses volumes that no reader could hold.

    Raises:
      FormatError: an axis has no voxels or too many, or the volume has too many.
    """
    if not all(1 <= n <= MAX_AXIS for n in shape) or math.prod(shape) > MAX_VOXELS:
        raise FormatError(
            f"Got the shape {short_repr(shape)}, expected 1 to {MAX_AXIS} voxels along each axis "
            f"and at most {MAX_VOXELS} in all."
        )


def check_blocks(block_shape: Triple, format_version: int = ARCHIVE_VERSION) -> None:
    """Refuses blocks that no reader could hold.

    Raises:
      FormatError: an axis has no voxels or too many, or the block has too many.
    """
    voxels = math.prod(block_shape)
    most = MAX_BLOCK_VOXELS if format_version >= ARCHIVE_VERSION else MAX_OLD_BLOCK_VOXELS
    if not all(1 <= n <= MAX_BLOCK_AXIS for n in block_shape) or voxels > most:
        raise FormatError(
            f"Got blocks of {short_repr(block_shape)}, expected 1 to {MAX_BLOCK_AXIS} voxels along "
            f"each axis and at most {most} in all."
        )


def check_steps(geometry: Geometry) -> None:
    """Refuses blocks whose march is too long.

    Raises:
      FormatError: there are too many time steps.
    """
    if geometry.num_steps > MAX_STEPS:
        raise FormatError(
            f"Got blocks of {geometry.block_shape}, which take {geometry.num_steps} time steps, "
            f"expected at most {MAX_STEPS}."
        )
