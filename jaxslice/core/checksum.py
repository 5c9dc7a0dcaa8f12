"""CRC32C (Castagnoli), the checksum of payloads and of voxels."""

import google_crc32c
import numpy as np


def crc32c(data: bytes | np.ndarray) -> int:
    """The CRC32C of bytes, or of an array's bytes in C order."""
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).tobytes()
    return google_crc32c.value(data)
