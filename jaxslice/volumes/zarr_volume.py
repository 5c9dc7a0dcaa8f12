"""Zarr arrays and OME-Zarr images of the versions 2 and 3, read through TensorStore."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.errors import UsageError
from jaxslice.core.json_text import parse_json
from jaxslice.core.shorten import short_repr
from jaxslice.storage import location as locations
from jaxslice.storage.folder import Folder, folder_at
from jaxslice.storage.location import (
    Location,
    is_refused,
    kvstore_spec,
    one_line,
    unreachable_is_usage_error,
)
from jaxslice.volumes import archive_volume, ome
from jaxslice.volumes.arrays import ArrayReader
from jaxslice.volumes.axes import View, axes_named, view_of
from jaxslice.volumes.chunked import ChunkedReader
from jaxslice.volumes.details import Details, Scale
from jaxslice.volumes.interface import Format, NotThisFormat, Source, SourceOptions
from jaxslice.volumes.sources import source_of
from jaxslice.volumes.zarr_writer import KIND_2, KIND_3, create_2, create_3


@dataclasses.dataclass(frozen=True)
class Node:
    """A group or an array.

    Attributes:
      path: in the folder that was opened; "" for its root.
      version: of Zarr, 2 or 3.
      array: the array's metadata; None for a group.
      attributes: of the node.
    """

    path: str
    version: int
    array: dict[str, Any] | None
    attributes: dict[str, Any]


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    folder = folder_at(place, location)
    node = _node(folder, options.dataset or "")
    if node is None:
        where = f"no Zarr array or group at {options.dataset!r}" if options.dataset else "no Zarr"
        raise NotThisFormat(f"has {where}{_children(location)}")
    if archive_volume.is_archive(node.attributes):
        return archive_volume.open_source(place, options)
    if node.array is not None:
        return _array_source(place, location, node, options, None, [node.path], [])
    multiscale = ome.multiscale_of(node.attributes)
    if multiscale is None:
        return _child_source(place, location, folder, node, options)
    scales = ome.scales_of(place, multiscale)
    scale = scales[_index_of(scales, options.scale)]
    array = _node(folder, f"{node.path}/{scale.path}".lstrip("/"))
    if array is None or array.array is None:
        raise UsageError(f"Got {place!r}, whose scale {scale.path!r} is not there.")
    names = ome.channel_names(node.attributes)
    described = []
    for other in scales:
        found = _node(folder, f"{node.path}/{other.path}".lstrip("/"))
        if found is not None and found.array is not None:
            shape = View(other.axes, tuple(found.array["shape"])).volume_shape
            described.append(Scale(other.path, shape, other.voxel_size_nm, _encoding(found)))
    return _array_source(place, location, array, options, scale, described, names)


def _child_source(
    place: str, location: Location, folder: Folder, node: Node, options: SourceOptions
) -> Source:
    """What a group without an image of its own holds: its first image, as bioformats2raw has it."""
    for name in ("0", "s0"):
        child = _node(folder, f"{node.path}/{name}".lstrip("/"))
        if child is not None:
            return _open(place, location, dataclasses.replace(options, dataset=child.path))
    raise UsageError(
        f"Got {place!r}, a Zarr group without an image{_children(location)}, expected --dataset "
        "with the path of an array."
    )


def _array_source(
    place: str,
    location: Location,
    node: Node,
    options: SourceOptions,
    scale: ome.OmeScale | None,
    scales: list[Any],
    channels: list[str],
) -> Source:
    metadata = node.array
    assert metadata is not None
    names = metadata.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
    shape = metadata.get("shape")
    if not isinstance(shape, list):
        raise UsageError(f"Got the shape {short_repr(shape)} of {place!r}, expected a list.")
    view = view_of(place, scale.axes if scale else axes_named(names), shape, options, channels)
    offset = scale.offset if scale else (0, 0, 0)
    base = kvstore_spec(location)
    path = f"{base.get('path', '')}{node.path}/" if node.path else base.get("path", "")
    spec = {
        "driver": "zarr3" if node.version == 3 else "zarr",
        "kvstore": {**base, "path": path},
    }
    codecs = [_object(codec).get("name") for codec in metadata.get("codecs") or []]
    reader: Any = ChunkedReader(
        place, spec, view, offset, _fill(metadata), "sharding_indexed" in codecs
    )
    try:
        dtype, (_, chunk_shape) = reader.dtype, reader.grid
    except UsageError as error:
        # TensorStore knows fewer codecs than zarr, which reads more slowly.
        array = _by_zarr(location, node.path)
        if array is None:
            raise error
        dtype, chunk_shape = array.dtype, view.triple(array.chunks)
        reader = ArrayReader(array, view, offset)
    details = Details(
        format=f"zarr{node.version}" + (", OME-Zarr" if scale else ""),
        encoding=_encoding(node),
        chunk_shape=chunk_shape,
        scales=tuple(scales) if scale else (),
        scale=scale.path if scale else None,
        axes=view.axes,
        selected=view.several(),
        dataset=options.dataset,
    )
    size = scale.voxel_size_nm if scale else None
    return source_of(place, view, np.dtype(dtype), reader, details, size, offset)


def _node(folder: Folder, path: str) -> Node | None:
    """What is at a path of a folder; None if nothing is."""
    prefix = f"{path.strip('/')}/" if path.strip("/") else ""
    document = _read(folder, f"{prefix}zarr.json")
    if document is not None:
        array = document if document.get("node_type") == "array" else None
        return Node(path.strip("/"), 3, array, _object(document.get("attributes")))
    array = _read(folder, f"{prefix}.zarray")
    if array is None and _read(folder, f"{prefix}.zgroup") is None:
        return None
    attributes = _read(folder, f"{prefix}.zattrs")
    return Node(path.strip("/"), 2, array, _object(attributes))


def _read(folder: Folder, key: str) -> dict[str, Any] | None:
    """A JSON object of a folder; None if it is not there."""
    with unreachable_is_usage_error(folder.place):
        try:
            data = folder.read(key, locations.OPEN_TIMEOUT_SECONDS)
        except OSError as error:
            if is_refused(error):
                return None
            raise
    if data is None:
        return None
    try:
        return _object(parse_json(data))
    except ValueError as error:
        raise UsageError(f"The {key} of {folder.place!r} is not JSON: {one_line(error)}.") from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _index_of(scales: list[ome.OmeScale], scale: int | str) -> int:
    text, paths = str(scale), [s.path for s in scales]
    for names in ([str(index) for index in range(len(paths))], paths):
        if text in names:
            return names.index(text)
    raise UsageError(
        f"Got the scale {text!r}, expected an index from 0 to {len(paths) - 1} or one of the paths"
        f" {', '.join(paths)}."
    )


def _encoding(node: Node) -> str:
    """The names of an array's codecs."""
    metadata = node.array or {}
    if node.version == 3:
        codecs = metadata.get("codecs") or []
        names = [_object(codec).get("name", "") for codec in codecs]
        inner = [
            _object(codec).get("name", "")
            for outer in codecs
            for codec in _object(_object(outer).get("configuration")).get("codecs") or []
        ]
        found = [name for name in (*names, *inner) if name not in ("bytes", "crc32c", "transpose")]
    else:
        compressor = _object(metadata.get("compressor"))
        found = [_object(codec).get("id", "") for codec in metadata.get("filters") or []]
        found += [compressor.get("cname") or compressor.get("id")] if compressor else []
    return ", ".join(map(str, found)) or "raw"


def _fill(metadata: dict[str, Any]) -> int:
    value: Any = metadata.get("fill_value")
    return int(value) if isinstance(value, int | float) and value == value else 0


def _children(location: Location) -> str:
    """What a local folder has, for messages."""
    if not isinstance(location, Path) or not location.is_dir():
        return ""
    names = sorted(path.name for path in location.iterdir() if not path.name.startswith("."))
    return f", but {', '.join(names[:6])}" if names else ""


def _by_zarr(location: Location, path: str) -> Any:
    """A local array opened by the zarr library; None where that cannot read it either."""
    if not isinstance(location, Path):
        return None
    import zarr

    try:
        return zarr.open_array(str(location / path), mode="r")
    except Exception:
        return None


_TAKES = frozenset({"scale", "dataset", "channel", "time"})

ZARR_3 = Format(
    "zarr3", "a Zarr array or OME-Zarr image of the versions 2 and 3", _open, (".zarr",),
    ("zarr.json",), takes=_TAKES, create=create_3, kind=KIND_3, several_scales=True, shards=True,
)  # fmt: skip

ZARR_2 = Format(
    "zarr2", "the same of version 2", _open, (), (".zarray", ".zgroup"), takes=_TAKES,
    create=create_2, kind=KIND_2, several_scales=True,
)  # fmt: skip
