"""Section 1 of FORMAT.md: the arrays of an archive in a local folder."""

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.reference import limits
from jaxslice.reference.checks import field, integers, require, without_crc
from jaxslice.reference.configuration import read_configuration
from jaxslice.reference.document import read_json
from jaxslice.reference.group import check_group, read_group, scale_paths
from jaxslice.reference.payload import decode_block
from jaxslice.reference.seal import layer_of, read_seal

DATA_TYPES = ("uint8", "uint16")
_INDEX = ["bytes", "little", "crc32c", "end"]
"""How the index of a shard is stored."""


class _Array(NamedTuple):
    folder: Path
    metadata: Any
    shape: list[int]
    chunk_shape: list[int]
    object_shape: list[int]
    sharded: bool
    configuration: Any
    dtype: str
    version: int
    has_all_blocks: bool
    layers: list[bytes] | None

    @property
    def sealed(self) -> bool:
        return self.version == 4 and self.has_all_blocks

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunk_shape, strict=True))


def _read_array(folder: Path) -> _Array:
    """The metadata of an array, and of the archive that it is a scale of."""
    array, group = _read_alone(folder), read_group(folder.parent)
    paths = scale_paths(group) if group else []
    if group is None or folder.name not in paths:
        require(not array.sealed, f"Got {folder}, which is no scale of an archive.")
        return array
    check_group(group)
    arrays = [array if path == folder.name else _read_alone(folder.parent / path) for path in paths]
    same = all(each.sealed == array.sealed for each in arrays)
    require(same, "Got arrays of which some are sealed, expected all.")
    if not array.sealed:
        old = all(each.version < 4 for each in arrays)
        none = "seal" not in group["attributes"]["jaxslice"]
        require(old or none, "Got a seal of an array that is not sealed.")
        return array
    layers = read_seal(group, [each.metadata for each in arrays])
    same = [len(each) for each in layers] == [each.grid[0] for each in arrays]
    require(same, "Got a seal of other layers than the archive has.")
    return array._replace(layers=layers[paths.index(folder.name)])


def _read_alone(folder: Path) -> _Array:
    """The metadata of an array."""
    metadata = read_json(folder / "zarr.json")
    try:
        grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
        (codec,) = metadata["codecs"]
        got = [metadata[name] for name in ("zarr_format", "node_type", "fill_value")]
        got += [keys.get("configuration", {}).get("separator", "/")]
        got += [grid["name"], keys["name"], metadata.get("storage_transformers", [])]
        object_shape = chunk_shape = grid["configuration"]["chunk_shape"]
        index, sharded = _INDEX, codec["name"] == "sharding_indexed"
        if sharded:
            sharding = codec["configuration"]
            order, crc = sharding["index_codecs"]
            index = [order["name"], order["configuration"]["endian"], crc["name"]]
            index += [sharding.get("index_location", "end")]
            chunk_shape, (codec,) = sharding["chunk_shape"], sharding["codecs"]
        got += [*index, codec["name"]]
        configuration = codec["configuration"]
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"Got no array metadata from {folder} ({error!r:.200}).") from None
    expected = [3, "array", 0, "/", "regular", "default", [], *_INDEX, "jaxslice"]
    same = got == expected and [type(value) for value in got] == [type(v) for v in expected]
    require(same, f"Got an array with {got!r:.200}, expected {expected}.")
    dtype = field(metadata, "data_type", str)
    require(dtype in DATA_TYPES, f"Got voxels of {dtype!r:.200}.")
    shape = integers(field(metadata, "shape", list), 1, limits.AXIS, [3], "the shape")
    require(math.prod(shape) <= limits.VOXELS, f"Got the shape {shape}, larger than any disk.")
    chunk_shape = integers(chunk_shape, 1, limits.CHUNK_AXIS, [3], "the chunk shape")
    object_shape = _shard_shape(object_shape, chunk_shape)
    predictor = read_configuration(configuration)
    same = dtype == f"uint{predictor.voxel_bits}"
    require(same, f"Got voxels of {dtype} and a network for {predictor.voxel_bits} bits.")
    return _Array(
        folder, metadata, shape, chunk_shape, object_shape, sharded, configuration, dtype,
        predictor.version, predictor.sealed, None,
    )  # fmt: skip


def _shard_shape(object_shape: Any, chunk_shape: list[int]) -> list[int]:
    """The shape of what is stored as one object: whole chunks."""
    shape = integers(object_shape, 1, 2**62, [3], "the shard shape")
    counts = [divmod(o, c) for o, c in zip(shape, chunk_shape, strict=True)]
    whole = all(rest == 0 for _, rest in counts)
    require(whole, f"Got shards of {shape} and chunks of {chunk_shape}, expected whole chunks.")
    blocks = math.prod(count for count, _ in counts)
    require(blocks <= limits.SHARD_BLOCKS, f"Got shards of {blocks} chunks, expected fewer.")
    return shape


def _read_payload(array: _Array, index: Sequence[int]) -> bytes | None:
    """The payload of a block; None for a block that is black because it is missing."""
    counts = [o // c for o, c in zip(array.object_shape, array.chunk_shape, strict=True)]
    shard = [i // n for i, n in zip(index, counts, strict=True)]
    path = array.folder / "/".join(["c", *map(str, shard)])
    try:
        most = limits.most_payload_bytes(math.prod(array.chunk_shape) * int(array.dtype[4:]) // 8)
        long = not array.sharded and path.stat().st_size > most
        require(not long, f"Got {path}, which is too long: expected at most {most} bytes.")
        data = path.read_bytes()
        return _part(array, data, index, counts) if array.sharded else data
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if missing and not array.has_all_blocks:
            return None
        raise FormatError(f"Got no block {tuple(index)} ({error!r}).") from None


def _part(array: _Array, data: bytes, index: Sequence[int], counts: list[int]) -> bytes | None:
    """The payload of a block in a shard; None for a block that is black because it is missing."""
    blocks = math.prod(counts)
    require(len(data) >= 16 * blocks + 4, f"Got a shard of {len(data)} bytes: truncated.")
    entries = without_crc(data[-16 * blocks - 4 :], "an index of a shard")
    z, y, x = (i % n for i, n in zip(index, counts, strict=True))
    offset, length = struct.unpack_from("<2Q", entries, 16 * ((z * counts[1] + y) * counts[2] + x))
    if offset == 2**64 - 1:
        require(not array.has_all_blocks, f"Got no block {tuple(index)} in its shard.")
        return None
    inside = offset + length <= len(data)
    require(inside, f"Got {length} bytes of a payload at {offset} of {len(data)}.")
    return data[offset : offset + length]


def _decode(array: _Array, index: Sequence[int], payload: bytes | None) -> np.ndarray:
    if payload is None:
        return np.zeros(array.chunk_shape, array.dtype)
    return decode_block(payload, array.chunk_shape, array.configuration, index, dtype=array.dtype)


def read_archive_block(array_folder: str | Path, index: Sequence[int]) -> np.ndarray:
    """Decodes the block at `index` of the chunk grid. Raises FormatError if it is missing."""
    array = _read_array(Path(array_folder))
    inside = all(0 <= i < n for i, n in zip(index, array.grid, strict=True))
    require(inside, f"Got no block {tuple(index)}, expected one of the grid {array.grid}.")
    return _decode(array, index, _read_payload(array, index))


def _blocks(array: _Array) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Every block with its index. Raises FormatError after a layer that was not sealed so."""
    depth, *across = array.grid
    for z in range(depth):
        payloads = []
        for y, x in np.ndindex(*across):
            payload = _read_payload(array, (z, y, x))
            payloads.append(payload)
            yield (z, y, x), _decode(array, (z, y, x), payload)
        if array.layers is not None:
            same = layer_of(payloads) == array.layers[z]
            require(same, f"Got other blocks in layer {z} than were sealed.", ChecksumError)


def decode_array(array_folder: str | Path, output: str | Path) -> None:
    """Decodes a local array to a new .npy file, which is incomplete after a FormatError."""
    array = _read_array(Path(array_folder))
    voxels = np.lib.format.open_memmap(output, "w+", array.dtype, tuple(array.shape))
    for index, block in _blocks(array):
        place = zip(index, array.chunk_shape, strict=True)
        part = voxels[tuple(slice(i * c, (i + 1) * c) for i, c in place)]
        part[...] = block[tuple(map(slice, part.shape))]
    voxels.flush()
