"""Arrays that zarr opens and hands to the codec: their `zarr.json`, and one chunk.

zarr reads the metadata itself and has errors of its own. No error may come out of jaxslice's code
but ours.
"""

from __future__ import annotations

import struct
import traceback
from pathlib import Path

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

import jaxslice
from fuzz.target import REFUSALS, SEPARATOR, Target
from jaxslice.core.checksum import crc32c

MOST_VOXELS = 2**16
"""Of the array and of its chunks: zarr allocates what the shape says."""

_CODE = str(Path(jaxslice.__file__).parent)


def check(data: bytes) -> None:
    """Reads an array. A chunk that ends with four zeros gets its CRC32C there."""
    document, _, chunk = data.partition(SEPARATOR)
    if chunk.endswith(bytes(4)):
        chunk = chunk[:-4] + struct.pack("<I", crc32c(chunk[:-4]))
    made = default_buffer_prototype().buffer.from_bytes
    store = MemoryStore({"zarr.json": made(document), "c/0/0/0": made(chunk)})
    try:
        array = zarr.open_array(store, mode="r")
        if max(array.size, int(np.prod(array.chunks, dtype=object))) <= MOST_VOXELS:
            assert array[...].shape == array.shape
    except REFUSALS:
        pass
    except Exception as error:
        if any(
            frame.filename.startswith(_CODE) for frame in traceback.extract_tb(error.__traceback__)
        ):
            raise


TARGETS = (Target("zarr_path", check, has_json=True),)
