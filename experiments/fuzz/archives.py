"""Whole archives of one block: opened and read as users do, and by the reference decoder.

An input is an array's `zarr.json`, a separator, a letter, and the one object: `b` for a payload
without its CRC32C, `s` for a shard of one block without that of its index, `r` for one as it is.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from fuzz.metadata import GROUP
from fuzz.target import REFUSALS, SEPARATOR, Target, scratch
from jaxslice import reference
from jaxslice.archive.block_reader import read_block
from jaxslice.archive.store import Archive, open_archive
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import FormatError

MOST_VOXELS = 2**9
"""Of a block: larger ones take the reference too long."""

_INDEX_BYTES = 16
_FOLDER = scratch() / "a.zarr"
_BLOCK = (0, 0, 0)


def check(data: bytes) -> None:
    """Reads the block twice."""
    document, _, rest = data.partition(SEPARATOR)
    letter, stored = rest[:1], rest[1:]
    if letter in (b"b", b"s"):
        covered = stored if letter == b"b" else stored[-_INDEX_BYTES:]
        stored += struct.pack("<I", crc32c(covered))
    path = _FOLDER / "0" / "c" / "0" / "0" / "0"
    path.parent.mkdir(parents=True, exist_ok=True)
    (_FOLDER / "zarr.json").write_bytes(GROUP)
    (_FOLDER / "0" / "zarr.json").write_bytes(document)
    path.write_bytes(stored)
    archive = _opened()
    if archive is not None and math.prod(archive.block_shape) > MOST_VOXELS:
        return
    found, expected = _found(archive), _expected()
    assert (found is None) == (expected is None), f"{found!r}, and the reference: {expected!r}"
    assert found is None or np.array_equal(found, expected), "the decoders found other voxels"


def _opened() -> Archive | None:
    try:
        return open_archive(_FOLDER)
    except REFUSALS:
        return None


def _found(archive: Archive | None) -> np.ndarray | None:
    try:
        return None if archive is None else read_block(archive, _BLOCK)
    except REFUSALS:
        return None


def _expected() -> np.ndarray | None:
    try:
        return reference.read_archive_block(_FOLDER / "0", _BLOCK)
    except FormatError:
        return None


TARGETS = (Target("archive", check, has_json=True),)
