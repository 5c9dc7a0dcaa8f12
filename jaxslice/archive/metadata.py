"""An archive's metadata: OME-Zarr 0.5 group, Zarr v3 array, and the codec's configuration."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import numpy as np

from jaxslice.archive.configuration import CODEC_NAME, CodecConfiguration
from jaxslice.archive.shards import INDEX_CODECS, MAX_SHARD_BLOCKS, SHARDING
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.placement import Placement
from jaxslice.core.shorten import short_repr, shortened

SCALE_PATH = "0"
"""Path of the full-resolution array in an archive's group, unless the group says another."""

DATA_TYPES = ("uint8",)
"""Names of the data types of voxels."""

MAX_AXIS = 2**31 - 1
"""Voxels of a volume along one axis."""

MAX_VOXELS = 2**62
"""Voxels of a volume."""

MAX_BLOCK_AXIS = 2**16
"""Voxels of a block along one axis. Long rows march for minutes whatever their content."""

MAX_BLOCK_VOXELS = 2**31 - 1
"""Voxels of a block."""

MAX_OFFSET = 2**53
"""Voxels from the origin, along one axis: what a JSON number says exactly."""

MAX_VOXEL_SIZE_NM = 1e18

MAX_DEPTH = 64
"""Nesting of JSON."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What an archive says about its volume.

    Attributes:
      shape: voxels along z, y and x.
      block_shape: of every block; those at the far edges reach beyond the volume.
      configuration: of the codec.
      placement: voxel size and global coordinate of the first voxel.
      provenance: how the archive was made, for `info`.
      data_type: of the voxels, one of DATA_TYPES.
      path: of the array in the archive's group.
      shard_shape: voxels of a shard, whole blocks; None where each block is an object.
    """

    shape: Triple
    block_shape: Triple
    configuration: CodecConfiguration
    placement: Placement
    provenance: dict[str, Any]
    data_type: str
    path: str = dataclasses.field(default=SCALE_PATH, kw_only=True)
    shard_shape: Triple | None = dataclasses.field(default=None, kw_only=True)

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels."""
        return np.dtype(self.data_type)

    def array_json(self) -> bytes:
        """The array's `zarr.json`."""
        codec = {"name": CODEC_NAME, "configuration": self.configuration.to_json()}
        if self.shard_shape is not None:
            sharding = {
                "chunk_shape": list(self.block_shape),
                "codecs": [codec],
                "index_codecs": INDEX_CODECS,
                "index_location": "end",
            }
            codec = {"name": SHARDING, "configuration": sharding}
        chunk_shape = list(self.shard_shape or self.block_shape)
        grid = {"name": "regular", "configuration": {"chunk_shape": chunk_shape}}
        array = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.data_type,
            "chunk_grid": grid,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [codec],
            "attributes": {},
            "dimension_names": ["z", "y", "x"],
        }
        return json.dumps(array, separators=(",", ":")).encode()


def scale_paths(group: bytes) -> tuple[str, ...]:
    """The paths of an archive's arrays, the finest first, from the group's `zarr.json`.

    Raises:
      FormatError: it is damaged, or describes something else.
    """
    try:
        datasets = read_json(group)["attributes"]["ome"]["multiscales"][0]["datasets"]
        paths = tuple(dataset["path"] for dataset in datasets)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"Got {short_repr(error)}, expected the zarr.json of an archive's group."
        ) from None
    if not paths or not all(isinstance(path, str) and _PATH.fullmatch(path) for path in paths):
        raise FormatError(f"Got the paths {short_repr(paths)}, expected names of arrays.")
    return paths


_PATH = re.compile(r"[\w-][\w.-]*", re.ASCII)
"""A name of an array: no path that leaves the group."""


def parse(group: bytes, array: bytes, scale: int = 0) -> Metadata:
    """Reads the group's `zarr.json` and that of an array.

    Args:
      group: of the archive.
      array: of one scale.
      scale: its index.

    Raises:
      FormatError: they are damaged, or describe something else; VersionError if of a later version.
    """
    path = scale_paths(group)[scale]
    try:
        return dataclasses.replace(_parsed(read_json(group), read_json(array), scale), path=path)
    except FormatError as error:
        raise type(error)(shortened(str(error))) from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise FormatError(
            f"Got {short_repr(error)}, expected the zarr.json files of an archive."
        ) from None


def check_shapes(shape: Triple, block_shape: Triple) -> None:
    """Refuses volumes and blocks that no reader could hold.

    Raises:
      FormatError: an axis has no voxels or too many, or a block has.
    """
    if not all(1 <= n <= MAX_AXIS for n in shape) or math.prod(shape) > MAX_VOXELS:
        raise FormatError(
            f"Got the shape {short_repr(shape)}, expected 1 to {MAX_AXIS} voxels along each axis "
            f"and at most {MAX_VOXELS} in all."
        )
    voxels = math.prod(block_shape)
    if not all(1 <= n <= MAX_BLOCK_AXIS for n in block_shape) or voxels > MAX_BLOCK_VOXELS:
        raise FormatError(
            f"Got blocks of {short_repr(block_shape)}, expected 1 to {MAX_BLOCK_AXIS} voxels along "
            f"each axis and at most {MAX_BLOCK_VOXELS} in all."
        )


def read_json(data: bytes) -> Any:
    try:
        document = json.loads(data)
    except RecursionError:
        raise FormatError("Got JSON that is nested too deeply, expected zarr.json.") from None
    _check_depth(document)
    return document


def _check_depth(document: Any) -> None:
    """Refuses deep nesting, which whatever prints or writes the document could not take."""
    level = [document]
    for _ in range(MAX_DEPTH):
        values = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for group in values for v in group if isinstance(v, dict | list)]
        if not level:
            return
    raise FormatError(f"Got JSON nested more than {MAX_DEPTH} deep, expected less.")


def _parsed(group: Any, array: Any, scale: int) -> Metadata:
    _expect(group, "group", zarr_format=3, node_type="group")
    _expect(array, "array", zarr_format=3, node_type="array", fill_value=0)
    data_type = array.get("data_type")
    if data_type not in DATA_TYPES:
        raise FormatError(f"Got voxels of {short_repr(data_type)}, expected one of {DATA_TYPES}.")
    grid, keys = array["chunk_grid"], array["chunk_key_encoding"]
    _expect(grid, "chunk grid", name="regular")
    _expect(keys, "chunk key encoding", name="default")
    _expect({"separator": "/"} | keys.get("configuration", {}), "chunk key encoding", separator="/")
    if array.get("storage_transformers"):
        raise FormatError("Got an array with storage_transformers, expected none.")
    shape = _integers(array["shape"], "shape")
    block_shape, shard_shape = _integers(grid["configuration"]["chunk_shape"], "chunk shape"), None
    codecs = array["codecs"]
    if isinstance(codecs, list) and len(codecs) == 1 and codecs[0].get("name") == SHARDING:
        shard_shape = block_shape
        block_shape, codecs = _sharding(codecs[0]["configuration"], shard_shape)
    if not isinstance(codecs, list) or len(codecs) != 1:
        raise FormatError(f"Got the codecs {short_repr(codecs)}, expected {CODEC_NAME!r} alone.")
    _expect(codecs[0], "codec", name=CODEC_NAME)
    check_shapes(shape, block_shape)
    attributes = group["attributes"]
    dataset = attributes["ome"]["multiscales"][0]["datasets"][scale]
    provenance = attributes[CODEC_NAME]
    if scale:
        provenance = provenance["coarser_scales"][scale - 1]
    return Metadata(
        shape=shape,
        block_shape=block_shape,
        configuration=CodecConfiguration.from_json(codecs[0].get("configuration")),
        placement=Placement(
            _voxel_size(dataset["coordinateTransformations"][0]["scale"]),
            _offset(provenance["offset_voxels"]),
        ),
        provenance=provenance,
        data_type=data_type,
        shard_shape=shard_shape,
    )


def _sharding(sharding: Any, shard_shape: Triple) -> tuple[Triple, Any]:
    """The block shape and the codecs of the blocks in shards."""
    block_shape = _integers(sharding["chunk_shape"], "chunk shape")
    _expect({"index_location": "end"} | sharding, "sharding", index_location="end")
    _expect(sharding, "sharding", index_codecs=INDEX_CODECS)
    check_shards(block_shape, shard_shape)
    return block_shape, sharding["codecs"]


def check_shards(block_shape: Triple, shard_shape: Triple) -> None:
    """Refuses shards that are not made of whole blocks, or of too many (FormatError)."""
    sizes = list(zip(shard_shape, block_shape, strict=True))
    whole = all(block > 0 and shard > 0 and shard % block == 0 for shard, block in sizes)
    if not whole or math.prod(s // b for s, b in sizes) > MAX_SHARD_BLOCKS:
        raise FormatError(
            f"Got shards of {short_repr(shard_shape)} and blocks of {short_repr(block_shape)}, "
            f"expected whole blocks, at most {MAX_SHARD_BLOCKS}."
        )


def _expect(document: Any, what: str, **fields: Any) -> None:
    for name, expected in fields.items():
        got = document.get(name)
        if type(got) is not type(expected) or got != expected:
            raise FormatError(
                f"Got {short_repr(got)} for {name} of the {what}, expected {expected!r}."
            )


def _integers(values: Any, what: str) -> Triple:
    if not (isinstance(values, list) and len(values) == 3 and all(type(v) is int for v in values)):
        raise FormatError(f"Got the {what} {short_repr(values)}, expected three integers.")
    z, y, x = values
    return (z, y, x)


def _offset(values: Any) -> Triple:
    offset = _integers(values, "offset")
    if any(abs(value) > MAX_OFFSET for value in offset):
        raise FormatError(
            f"Got the offset {short_repr(offset)}, expected at most {MAX_OFFSET} voxels."
        )
    return offset


def _voxel_size(values: Any) -> tuple[float, float, float]:
    z, y, x = (float(value) for value in values)
    if not all(0 <= size <= MAX_VOXEL_SIZE_NM for size in (z, y, x)):
        raise FormatError(
            f"Got the voxel size {short_repr(values)} nm, expected 0 to {MAX_VOXEL_SIZE_NM:g}."
        )
    return (z, y, x)
