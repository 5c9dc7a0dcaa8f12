"""The types of voxels that can be compressed, and what to use for the others."""

from __future__ import annotations

import numpy as np

from jaxslice.core.errors import UsageError

VOXEL_TYPES = ("uint8", "uint16")

_ADVICE = {
    "bool": "save masks as uint8, or as a segmentation with crackle or compressed_segmentation",
    "int8": "add 128 and save as uint8",
    "int16": "add 32768 and save as uint16",
    "int32": "save as uint16 if the values fit; segmentations go to crackle or "
    "compressed_segmentation",
    "int64": "save as uint16 if the values fit; segmentations go to crackle or "
    "compressed_segmentation",
    "uint32": "segmentations go to crackle or compressed_segmentation; images are uint16 if the "
    "values fit",
    "uint64": "segmentations go to crackle or compressed_segmentation",
    "float": "scale to uint16 if that is exact enough; zfp and Blosc2 are lossless for floats",
    "complex": "save real and imaginary parts apart, and see floats",
}


def check_voxel_type(dtype: np.dtype | str, what: str) -> np.dtype:
    """Refuses voxels that are neither uint8 nor uint16, and says what to do with them.

    Args:
      dtype: of the voxels, or its name.
      what: what was got, for the message: "a block".

    Returns:
      The dtype.

    Raises:
      UsageError: of another dtype.
    """
    name = dtype.name if isinstance(dtype, np.dtype) else dtype
    if name in VOXEL_TYPES:
        return np.dtype(name)
    kind = name.rstrip("0123456789")
    advice = _ADVICE.get(name) or _ADVICE.get(kind)
    raise UsageError(
        f"Got {what} of {name}, expected uint8 or uint16" + (f": {advice}." if advice else ".")
    )
