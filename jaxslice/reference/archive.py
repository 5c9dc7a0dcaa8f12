"""Section 1 of FORMAT.md: the arrays of an archive in a local folder."""

import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.reference import limits
from jaxslice.reference.checks import field, integers, require, without_crc
from jaxslice.reference.configuration import read_configuration
from jaxslice.reference.payload import decode_block
from jaxslice.reference.seal import layer_of, read_seal

DATA_TYPES = ("uint8", "uint16")


_INDEX_CODECS = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "crc32c"},
]
"""How the index of a shard is stored."""


class _Array(NamedTuple):
    folder: Path
    shape: list[int]
    chunk_shape: list[int]
    object_shape: list[int]
    configuration: Any
    dtype: str
    has_all_blocks: bool
    layers: list[bytes] | None

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunk_shape, strict=True))


def _read_json(path: Path) -> Any:
    """A JSON document within the limits of section 9."""
    try:
        require(path.stat().st_size <= limits.JSON_BYTES, f"Got {path}, which is too long.")
        document = json.loads(
            path.read_bytes().decode(),
            object_pairs_hook=_object,
            parse_float=_number,
            parse_constant=_number,
        )
        json.dumps(document, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"Got no array metadata from {path} ({error!r:.200}).") from None
    level = [document] if type(document) in (dict, list) else []
    for _ in range(limits.JSON_DEPTH):
        values = (v.values() if type(v) is dict else v for v in level)
        level = [v for group in values for v in group if type(v) in (dict, list)]
    require(not level, f"Got {path}, which is nested too deeply.")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict:
    """An object whose names differ."""
    require(len(dict(pairs)) == len(pairs), "Got JSON with a name twice in an object.")
    return dict(pairs)


def _number(text: str) -> float:
    """A number that is finite."""
    require(math.isfinite(float(text)), f"Got the number {text:.200} in JSON.")
    return float(text)


def _read_array(folder: Path) -> _Array:
    """The metadata of an array, and of the archive if that is sealed."""
    metadata = _read_json(folder / "zarr.json")
    try:
        grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
        (codec,) = metadata["codecs"]
        got = [metadata[name] for name in ("zarr_format", "node_type", "fill_value")]
        got += [keys.get("configuration", {}).get("separator", "/")]
        got += [grid["name"], keys["name"], metadata.get("storage_transformers", [])]
        object_shape = chunk_shape = grid["configuration"]["chunk_shape"]
        index = [_INDEX_CODECS, "end"]
        if codec["name"] == "sharding_indexed":
            sharding = codec["configuration"]
            index = [sharding["index_codecs"], sharding.get("index_location", "end")]
            chunk_shape, (codec,) = sharding["chunk_shape"], sharding["codecs"]
        got += [*index, codec["name"]]
        configuration = codec["configuration"]
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"Got no array metadata from {folder} ({error!r:.200}).") from None
    expected = [3, "array", 0, "/", "regular", "default", [], _INDEX_CODECS, "end", "jaxslice"]
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
    array = _Array(
        folder, shape, chunk_shape, object_shape, configuration, dtype, predictor.sealed, None
    )
    if predictor.version < 4:
        return array
    if not predictor.sealed:
        _check_unsealed(folder.parent / "zarr.json")
        return array
    return array._replace(layers=_read_layers(array, metadata))


def _check_unsealed(path: Path) -> None:
    """Refuses a seal in the group of an array that is not sealed; the group may be missing."""
    try:
        require(path.stat().st_size <= limits.JSON_BYTES, f"Got {path}, which is too long.")
        sealed = "seal" in json.loads(path.read_bytes())["attributes"]["jaxslice"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return
    require(not sealed, "Got a seal of an array that is not sealed.")


def _read_layers(array: _Array, metadata: Any) -> list[bytes]:
    """The layers of the array in the seal of its archive."""
    group = _read_json(array.folder.parent / "zarr.json")
    try:
        datasets = group["attributes"]["ome"]["multiscales"][0]["datasets"]
        paths = [str(dataset["path"]) for dataset in datasets]
    except (LookupError, TypeError, AttributeError) as error:
        raise FormatError(f"Got no scales of {array.folder.parent} ({error!r:.200}).") from None
    require(array.folder.name in paths, f"Got {array.folder}, which is no scale of its group.")
    names = all(re.fullmatch(r"[\w-][\w.-]*", path, re.ASCII) for path in paths)
    names = names and len(set(paths)) == len(paths)
    require(names, f"Got the paths {paths!r:.200}, expected different names of arrays.")
    arrays = [_read_json(array.folder.parent / path / "zarr.json") for path in paths]
    require(all(map(_is_sealed, arrays)), "Got arrays of which some are sealed, expected all.")
    layers = read_seal(group, arrays)
    require(len(layers) == len(paths), "Got a seal of other arrays than the archive has.")
    found = layers[paths.index(array.folder.name)]
    require(len(found) == array.grid[0], "Got a seal of other layers than the array has.")
    return found


def _is_sealed(metadata: Any) -> bool:
    try:
        (codec,) = metadata["codecs"]
        if codec["name"] == "sharding_indexed":
            (codec,) = codec["configuration"]["codecs"]
        return codec["configuration"]["sealed"] is True
    except (LookupError, TypeError, ValueError):
        return False


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
    try:
        path = array.folder / "/".join(["c", *map(str, shard)])
        if array.object_shape != array.chunk_shape:
            return _part(array, path.read_bytes(), index, counts)
        most = limits.most_payload_bytes(math.prod(array.chunk_shape) * int(array.dtype[4:]) // 8)
        require(path.stat().st_size <= most, f"Got {path}, which is too long.")
        return path.read_bytes()
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
