"""Section 1 of FORMAT.md: the arrays of an archive in a local folder."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.reference import limits
from jaxslice.reference.checks import field, integers, require
from jaxslice.reference.configuration import read_configuration
from jaxslice.reference.payload import decode_block
from jaxslice.reference.seal import layer_of, read_seal

DATA_TYPES = ("uint8", "uint16")


class _Array(NamedTuple):
    folder: Path
    shape: list[int]
    chunk_shape: list[int]
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
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"Got no array metadata from {path} ({error!r:.200}).") from None
    level = [document]
    for _ in range(limits.JSON_DEPTH):
        values = (v.values() if type(v) is dict else v for v in level)
        level = [v for group in values for v in group if type(v) in (dict, list)]
    require(not level, f"Got {path}, which is nested too deeply.")
    return document


def _read_array(folder: Path) -> _Array:
    """The metadata of an array, and of the archive if that is sealed."""
    metadata = _read_json(folder / "zarr.json")
    try:
        grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
        (codec,) = metadata["codecs"]
        got = [metadata[name] for name in ("zarr_format", "node_type", "fill_value")]
        got += [keys.get("configuration", {}).get("separator", "/")]
        got += [grid["name"], keys["name"], codec["name"], metadata.get("storage_transformers", [])]
        chunk_shape, configuration = grid["configuration"]["chunk_shape"], codec["configuration"]
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"Got no array metadata from {folder} ({error!r:.200}).") from None
    expected = [3, "array", 0, "/", "regular", "default", "jaxslice", []]
    same = got == expected and [type(value) for value in got] == [type(v) for v in expected]
    require(same, f"Got an array with {got!r:.200}, expected {expected}.")
    dtype = field(metadata, "data_type", str)
    require(dtype in DATA_TYPES, f"Got voxels of {dtype!r:.200}.")
    shape = integers(field(metadata, "shape", list), 1, limits.AXIS, [3], "the shape")
    require(math.prod(shape) <= limits.VOXELS, f"Got the shape {shape}, larger than any disk.")
    chunk_shape = integers(chunk_shape, 1, limits.CHUNK_AXIS, [3], "the chunk shape")
    predictor = read_configuration(configuration)
    same = dtype == f"uint{predictor.voxel_bits}"
    require(same, f"Got voxels of {dtype} and a network for {predictor.voxel_bits} bits.")
    array = _Array(folder, shape, chunk_shape, configuration, dtype, predictor.sealed, None)
    if predictor.version < 4 or not predictor.sealed:
        return array
    return array._replace(layers=_read_layers(array, metadata))


def _read_layers(array: _Array, metadata: Any) -> list[bytes]:
    """The layers of the array in the seal of its archive."""
    group = _read_json(array.folder.parent / "zarr.json")
    (layers,) = _one(read_seal(group, [metadata]))
    require(len(layers) == array.grid[0], "Got a seal of other layers than the array has.")
    return layers


def _one(values: list[Any]) -> list[Any]:
    require(len(values) == 1, f"Got {len(values)} arrays in the seal, expected 1.")
    return values


def _read_payload(array: _Array, index: Sequence[int]) -> bytes | None:
    """The payload of a block; None for a block that is black because it is missing."""
    try:
        return (array.folder / "/".join(["c", *map(str, index)])).read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if missing and not array.has_all_blocks:
            return None
        raise FormatError(f"Got no block {tuple(index)} ({error!r}).") from None


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
