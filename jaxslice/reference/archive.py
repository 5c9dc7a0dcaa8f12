"""Section 1 of FORMAT.md: the arrays of an archive in a local folder."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxslice.core.errors import FormatError
from jaxslice.reference.checks import field, integers, require
from jaxslice.reference.payload import decode_block


def _read_metadata(folder: Path) -> tuple[list[int], list[int], dict]:
    """The array's shape, its chunk shape and the codec's configuration."""
    try:
        metadata = json.loads((folder / "zarr.json").read_bytes())
        grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
        (codec,) = metadata["codecs"]
        got = [metadata[name] for name in ("zarr_format", "node_type", "data_type")]
        got += [keys.get("configuration", {}).get("separator", "/")]
        got += [grid["name"], keys["name"], codec["name"]]
        chunk_shape, configuration = grid["configuration"]["chunk_shape"], codec["configuration"]
    except (OSError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise FormatError(f"Got no array metadata from {folder}/zarr.json ({error!r}).") from None
    expected = [3, "array", "uint8", "/", "regular", "default", "jaxslice"]
    require(got == expected, f"Got an array with {got}, expected {expected}.")
    shape = integers(field(metadata, "shape", list), 1, 2**62, [3], "the shape")
    return shape, integers(chunk_shape, 1, 2**32 - 1, [3], "the chunk shape"), configuration


def read_archive_block(array_folder: str | Path, index: Sequence[int]) -> np.ndarray:
    """Decodes the block at `index` of the chunk grid. Raises FormatError if it is missing."""
    _, chunk_shape, configuration = _read_metadata(Path(array_folder))
    try:
        payload = Path(array_folder, "c", *map(str, index)).read_bytes()
    except OSError as error:
        raise FormatError(f"Got no block {tuple(index)} ({error!r}).") from None
    return decode_block(payload, chunk_shape, configuration, index)


def decode_array(array_folder: str | Path, output: str | Path) -> None:
    """Decodes a local array to a new .npy file, which is incomplete after a FormatError."""
    shape, chunk_shape, _ = _read_metadata(Path(array_folder))
    require(math.prod(shape) < 2**62, f"Got an array of the shape {shape}, larger than any disk.")
    voxels = np.lib.format.open_memmap(output, "w+", np.uint8, tuple(shape))
    for index in np.ndindex(*(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))):
        place = zip(index, chunk_shape, strict=True)
        part = voxels[tuple(slice(i * c, (i + 1) * c) for i, c in place)]
        part[...] = read_archive_block(array_folder, index)[tuple(map(slice, part.shape))]
    voxels.flush()
