"""Neuroglancer precomputed image volumes, read through TensorStore.

The info file is read here and handed to TensorStore scale by scale, so that what is unusual in one
scale is no hindrance to reading another. Its axes are x,y,z,channel.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.json_text import parse_json
from jaxslice.core.shorten import short_repr
from jaxslice.storage import location as locations
from jaxslice.storage.folder import folder_at
from jaxslice.storage.location import (
    Location,
    kvstore_spec,
    one_line,
    unreachable_is_usage_error,
)
from jaxslice.volumes.axes import View, view_of
from jaxslice.volumes.chunked import ChunkedReader
from jaxslice.volumes.details import Details, Scale
from jaxslice.volumes.interface import Format, NotThisFormat, Reader, Source, SourceOptions
from jaxslice.volumes.precomputed_chunks import UnpackedReader, needs_unpacking
from jaxslice.volumes.precomputed_writer import KIND, create
from jaxslice.volumes.sources import source_of, usable_size

_MAY_BE_LOSSY = ("jpeg", "jxl")


def is_lossy(scale: dict[str, Any]) -> bool:
    """Whether the encoding of a scale may have changed the voxels.

    JPEG-XL of quality 100 has not; cloud-volume records it.
    """
    encoding, quality = scale.get("encoding"), scale.get("jxl_quality")
    return encoding in _MAY_BE_LOSSY and not (encoding == "jxl" and quality == 100)


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    with unreachable_is_usage_error(place):
        info = folder_at(place, location).read("info", locations.OPEN_TIMEOUT_SECONDS)
    if info is None:
        raise NotThisFormat("has no info file")
    metadata = _parsed(place, info)
    scales = metadata["scales"]
    scale = checked_scale(place, scales[_index_of(place, scales, options.scale)])
    channels = metadata.get("num_channels", 1)
    shape = (*scale["size"], channels)
    view = view_of(place, "xyzc", shape, options)
    offset = view.triple([*scale["voxel_offset"], 0], absent=0)
    multiscale = {
        "type": "image",
        "data_type": metadata["data_type"],
        "num_channels": channels,
    }
    fill = 0 if options.missing == "zero" else None
    reader: Reader = _reader(place, location, multiscale, scale, view, offset, fill)
    details = Details(
        format="precomputed",
        encoding=_encoding(scale),
        lossy=is_lossy(scale),
        chunk_shape=view.triple([*scale["chunk_size"], 1]),
        scales=tuple(_described(s) for s in scales),
        scale=str(scale["key"]),
        selected=view.several(),
        original=_original(metadata),
    )
    resolution = usable_size([float(v) for v in scale["resolution"][::-1]])
    dtype = np.dtype(metadata["data_type"])
    source = source_of(place, view, dtype, reader, details, resolution, offset)
    if not details.lossy:
        return source
    chunks = UnpackedReader(place, location, scale, dtype, channels, 0, 0)
    return dataclasses.replace(source, stored_sample=chunks.stored_sample)


def _reader(
    place: str,
    location: Location,
    multiscale: dict[str, Any],
    scale: dict[str, Any],
    view: View,
    offset: Triple,
    fill: int | None,
) -> Reader:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": kvstore_spec(location),
        "multiscale_metadata": multiscale,
        "scale_metadata": scale,
        "open": True,
        "assume_metadata": True,
    }
    if needs_unpacking(location, scale):
        dtype, channels = np.dtype(multiscale["data_type"]), view.shape[3]
        return UnpackedReader(
            place, location, scale, dtype, channels, view.selected.get("c", 0), fill
        )
    return ChunkedReader(place, spec, view, offset, fill, "sharding" in scale)


def _parsed(place: str, info: bytes) -> dict[str, Any]:
    """The info file, as far as it is the same for all scales.

    Raises:
      UsageError: it is damaged.
      NotThisFormat: it describes something else than an image.
    """
    try:
        metadata = parse_json(info)
        if not isinstance(metadata, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        raise UsageError(f"The info file of {place!r} is not JSON: {one_line(error)}.") from error
    if metadata.get("type") != "image":
        raise NotThisFormat(f"has type {short_repr(metadata.get('type'))}, expected 'image'")
    channels = metadata.get("num_channels", 1)
    if type(channels) is not int or channels < 1:
        raise NotThisFormat(f"has num_channels {short_repr(channels)}, expected 1")
    try:
        np.dtype(metadata.get("data_type") or "")
    except TypeError:
        raise NotThisFormat(f"has data_type {short_repr(metadata.get('data_type'))}") from None
    scales = metadata.get("scales")
    if not isinstance(scales, list) or not scales or not all(isinstance(s, dict) for s in scales):
        raise UsageError(f"The info file of {place!r} lists no scales, expected at least one.")
    return metadata


def _index_of(place: str, scales: list[dict[str, Any]], scale: int | str) -> int:
    text, keys = str(scale), [str(s.get("key")) for s in scales]
    for names in ([str(index) for index in range(len(keys))], keys):
        if text in names:
            return names.index(text)
    raise UsageError(
        f"Got the scale {text!r}, expected an index from 0 to {len(keys) - 1} or one of the keys"
        f" {', '.join(keys)}."
    )


def checked_scale(place: str, scale: dict[str, Any]) -> dict[str, Any]:
    """A scale as TensorStore takes it: whole numbers as integers, one of its chunk sizes.

    Raises:
      UsageError: a field is missing or wrong, or the encoding cannot be read.
    """
    if not isinstance(scale.get("key"), str):
        raise UsageError(f'Got a scale of {place!r} without "key", expected a folder\'s name.')
    key, encoding = scale["key"], scale.get("encoding", "raw")
    if encoding not in ("raw", "png", *_MAY_BE_LOSSY):
        raise UsageError(
            f"Got {place!r}, whose scale {key!r} is {encoding}-coded, expected raw, png, jpeg or "
            "jxl: choose another scale, or write it anew with igneous or cloud-volume."
        )
    sizes = scale.get("chunk_sizes")
    if not isinstance(sizes, list) or not sizes:
        raise UsageError(f"Got no chunk_sizes for the scale {key!r} of {place!r}.")
    size = _integers(place, key, "size", scale.get("size"))
    if min(size) < 1:
        shape = tuple(size[::-1])
        raise UsageError(f"Got {place!r} of shape {shape} (z,y,x), expected at least 1 voxel.")
    # Each of several chunk sizes holds all voxels.
    chunk_size = _integers(place, key, "chunk_sizes", sizes[0])
    if min(chunk_size) < 1:
        raise UsageError(f"Got chunks of {chunk_size} in {place!r}, expected at least 1 voxel.")
    resolution = scale.get("resolution", [1, 1, 1])
    if not isinstance(resolution, list) or not all(_is_number(v) for v in resolution):
        raise UsageError(f"Got the resolution {short_repr(resolution)} of {place!r}.")
    checked = {
        "key": key,
        "size": size,
        "voxel_offset": _integers(place, key, "voxel_offset", scale.get("voxel_offset", [0, 0, 0])),
        "chunk_size": chunk_size,
        "resolution": resolution,
        "encoding": encoding,
    }
    if scale.get("sharding") is not None:
        checked["sharding"] = scale["sharding"]
    if encoding == "jxl" and _is_number(scale.get("jxl_quality")):
        checked["jxl_quality"] = scale["jxl_quality"]
    return checked


def _integers(place: str, key: str, name: str, values: Any) -> list[int]:
    """Three integers, which JSON may have written as 16.0."""
    ok = isinstance(values, list) and len(values) == 3 and all(_is_number(v) for v in values)
    if not ok or any(int(v) != v for v in values):
        raise UsageError(
            f"Got {name} {short_repr(values)} for the scale {key!r} of {place!r}, expected three"
            " whole numbers."
        )
    return [int(v) for v in values]


def _is_number(value: Any) -> bool:
    # Python makes no float of an integer of some hundred digits.
    return (type(value) is int and abs(value) < 2**63) or (
        type(value) is float and math.isfinite(value)
    )


def _described(scale: dict[str, Any]) -> Scale:
    size, resolution = scale.get("size"), scale.get("resolution")
    z = y = x = 0
    if isinstance(size, list) and len(size) == 3 and all(_is_number(v) for v in size):
        z, y, x = (int(v) for v in size[::-1])
    nm = None
    if isinstance(resolution, list) and all(_is_number(v) for v in resolution):
        nm = usable_size([float(v) for v in resolution[::-1]])
    return Scale(str(scale.get("key")), (z, y, x), nm, str(scale.get("encoding", "raw")))


def _encoding(scale: dict[str, Any]) -> str:
    sharding = scale.get("sharding")
    if not isinstance(sharding, dict):
        return scale["encoding"]
    packed = sharding.get("data_encoding", "raw")
    return f"{scale['encoding']}, sharded" + (f", {packed}" if packed != "raw" else "")


def _original(metadata: dict[str, Any]) -> str | None:
    """Where an info file says that the volume was made from, in one of the ways in use."""
    for name in ("original", "lossless_original", "source", "data_source"):
        value = metadata.get(name)
        if isinstance(value, str) and value:
            return value
    return None


PRECOMPUTED = Format(
    "precomputed",
    "a neuroglancer precomputed image volume (a folder, or a URL with one of"
    f" {'://, '.join(locations.SCHEMES)}://)",
    _open,
    entries=("info",),
    takes=frozenset({"scale", "channel"}),
    create=create,
    kind=KIND,
    several_scales=True,
    shards=True,
)
