"""Section 1 of FORMAT.md: the arrays of an archive in a local folder."""

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxslice.core.errors import FormatError
from jaxslice.reference.checks import field, integers, require, without_crc
from jaxslice.reference.payload import decode_block

_INDEX_CODECS = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "crc32c"},
]
"""How the index of a shard is stored."""


class _Array(NamedTuple):
    """The array's shape, those of its blocks and of its objects, and the codec's configuration."""

    shape: list[int]
    block_shape: list[int]
    object_shape: list[int]
    configuration: dict


def _read_metadata(folder: Path) -> _Array:
    try:
        metadata = json.loads((folder / "zarr.json").read_bytes())
        grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
        (codec,) = metadata["codecs"]
        got = [metadata[name] for name in ("zarr_format", "node_type", "data_type")]
        got += [keys.get("configuration", {}).get("separator", "/")]
        got += [grid["name"], keys["name"]]
        object_shape = block_shape = grid["configuration"]["chunk_shape"]
        if codec["name"] == "sharding_indexed":
            sharding = codec["configuration"]
            got += [sharding["index_codecs"], sharding.get("index_location", "end")]
            block_shape, (codec,) = sharding["chunk_shape"], sharding["codecs"]
        else:
            got += [_INDEX_CODECS, "end"]
        got += [codec["name"]]
        configuration = codec["configuration"]
    except (OSError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise FormatError(f"Got no array metadata from {folder}/zarr.json ({error!r}).") from None
    expected = [3, "array", "uint8", "/", "regular", "default", _INDEX_CODECS, "end", "jaxslice"]
    require(got == expected, f"Got an array with {got}, expected {expected}.")
    shape = integers(field(metadata, "shape", list), 1, 2**62, [3], "the shape")
    object_shape = integers(object_shape, 1, 2**32 - 1, [3], "the chunk shape")
    block_shape = integers(block_shape, 1, 2**32 - 1, [3], "the block shape")
    whole = [o % b for o, b in zip(object_shape, block_shape, strict=True)]
    require(not any(whole), f"Got shards of {object_shape}, expected whole blocks.")
    return _Array(shape, block_shape, object_shape, configuration)


def _read_payload(folder: Path, array: _Array, index: Sequence[int]) -> bytes:
    """The payload of a block: an object, or a part of one."""
    counts = [o // b for o, b in zip(array.object_shape, array.block_shape, strict=True)]
    shard = [i // n for i, n in zip(index, counts, strict=True)]
    try:
        data = (folder / "c" / "/".join(map(str, shard))).read_bytes()
    except OSError as error:
        raise FormatError(f"Got no block {tuple(index)} ({error!r}).") from None
    if array.object_shape == array.block_shape:
        return data
    blocks = math.prod(counts)
    require(len(data) >= 16 * blocks + 4, f"Got a shard of {len(data)} bytes: truncated.")
    entries = without_crc(data[-16 * blocks - 4 :], "an index of a shard")
    local = [i % n for i, n in zip(index, counts, strict=True)]
    number = (local[0] * counts[1] + local[1]) * counts[2] + local[2]
    offset, length = struct.unpack_from("<2Q", entries, 16 * number)
    require(offset != 2**64 - 1, f"Got no block {tuple(index)} in its shard.")
    return data[offset : offset + length]


def read_archive_block(array_folder: str | Path, index: Sequence[int]) -> np.ndarray:
    """Decodes the block at `index` of the chunk grid. Raises FormatError if it is missing."""
    array = _read_metadata(Path(array_folder))
    payload = _read_payload(Path(array_folder), array, index)
    return decode_block(payload, array.block_shape, array.configuration, index)


def decode_array(array_folder: str | Path, output: str | Path) -> None:
    """Decodes a local array to a new .npy file, which is incomplete after a FormatError."""
    array = _read_metadata(Path(array_folder))
    shape, chunk_shape = array.shape, array.block_shape
    require(math.prod(shape) < 2**62, f"Got an array of the shape {shape}, larger than any disk.")
    voxels = np.lib.format.open_memmap(output, "w+", np.uint8, tuple(shape))
    for index in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))):
        place = zip(index, chunk_shape, strict=True)
        part = voxels[tuple(slice(i * c, (i + 1) * c) for i, c in place)]
        part[...] = read_archive_block(array_folder, index)[tuple(map(slice, part.shape))]
    voxels.flush()
