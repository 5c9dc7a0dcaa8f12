"""An archive's metadata: OME-Zarr 0.5 group, Zarr v3 array, and the codec's configuration."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np

from jaxslice.archive.configuration import CODEC_NAME, CodecConfiguration
from jaxslice.archive.json_document import read_json
from jaxslice.archive.seal import NOT_SEALED, Seal, metadata_digest
from jaxslice.archive.shards import SHARDING, check_sharding, sharding_codec
from jaxslice.codec.limits import MAX_OFFSET, check_volume
from jaxslice.core.box import Triple
from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.core.placement import Placement
from jaxslice.core.shorten import short_repr, shortened
from jaxslice.core.voxel_types import VOXEL_TYPES

SCALE_PATH = "0"
"""Path of the full-resolution array in an archive's group, unless the group says another."""

SEAL, COARSER_SCALES = "seal", "coarser_scales"
"""Fields of the group's attribute `jaxslice`; the second has the provenance of further scales."""

DATA_TYPES = VOXEL_TYPES
"""Names of the data types of voxels."""

MAX_VOXEL_SIZE_NM = 1e18


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
      seal: of the archive; None if it is not sealed.
      path: of the array in the archive's group.
      shard_shape: voxels of a shard, whole blocks; None where each block is an object.
    """

    shape: Triple
    block_shape: Triple
    configuration: CodecConfiguration
    placement: Placement
    provenance: dict[str, Any]
    data_type: str
    seal: Seal | None
    path: str = dataclasses.field(default=SCALE_PATH, kw_only=True)
    shard_shape: Triple | None = dataclasses.field(default=None, kw_only=True)

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels."""
        return np.dtype(self.data_type)

    @property
    def root(self) -> str:
        """The root of the seal, or that there is none."""
        return self.seal.root if self.seal else NOT_SEALED

    @property
    def grid_shape(self) -> Triple:
        """Blocks along z, y and x."""
        return grid_of(self.shape, self.block_shape)

    def array_json(self) -> bytes:
        """The array's `zarr.json`."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    def to_json(self) -> dict[str, Any]:
        """The array's `zarr.json`, as a JSON object."""
        codec = {"name": CODEC_NAME, "configuration": self.configuration.to_json()}
        if self.shard_shape is not None:
            codec = sharding_codec(self.block_shape, codec)
        chunk_shape = list(self.shard_shape or self.block_shape)
        grid = {"name": "regular", "configuration": {"chunk_shape": chunk_shape}}
        return {
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


def grid_of(shape: Triple, block_shape: Triple) -> Triple:
    """Blocks along z, y and x."""
    z, y, x = (-(-n // b) for n, b in zip(shape, block_shape, strict=True))
    return (z, y, x)


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
    if len(set(paths)) != len(paths):
        raise FormatError(f"Got the paths {short_repr(paths)}, expected different ones.")
    return paths


_PATH = re.compile(r"[\w-][\w.-]*", re.ASCII)
"""A name of an array: no path that leaves the group."""


def parse(group: bytes, *arrays: bytes) -> list[Metadata]:
    """Reads the `zarr.json` files of an archive: of the group, and of all its arrays in order.

    Raises:
      FormatError: they are damaged, or describe something else; VersionError if of a later version.
    """
    paths = scale_paths(group)
    try:
        document, described = read_json(group), [read_json(array) for array in arrays]
        _check_group(document, len(paths))
        found = [
            dataclasses.replace(_parsed(document, array, scale), path=path)
            for scale, (path, array) in enumerate(zip(paths, described, strict=True))
        ]
        seal = _checked_seal(document, described, found)
    except FormatError as error:
        raise type(error)(shortened(str(error))) from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise FormatError(
            f"Got {short_repr(error)}, expected the zarr.json files of an archive."
        ) from None
    return [dataclasses.replace(each, seal=seal) for each in found]


def _check_group(group: Any, scales: int) -> None:
    """Refuses a group whose axes are not z, y, x, or that describes other scales than it has."""
    _expect(group, "group", zarr_format=3, node_type="group")
    axes = [axis["name"] for axis in group["attributes"]["ome"]["multiscales"][0]["axes"]]
    if axes != ["z", "y", "x"]:
        raise FormatError(f"Got the axes {short_repr(axes)}, expected z, y, x.")
    coarser = group["attributes"][CODEC_NAME].get(COARSER_SCALES, [])
    if scales > 1 and (not isinstance(coarser, list) or len(coarser) != scales - 1):
        raise FormatError(
            f"Got the {COARSER_SCALES} {short_repr(coarser)}, expected {scales - 1} objects."
        )


def _parsed(group: Any, array: Any, scale: int) -> Metadata:
    _expect(array, "array", zarr_format=3, node_type="array", fill_value=0)
    data_type = array.get("data_type")
    if data_type not in DATA_TYPES:
        raise FormatError(f"Got voxels of {short_repr(data_type)}, expected one of {DATA_TYPES}.")
    grid, keys = array["chunk_grid"], array["chunk_key_encoding"]
    _expect(grid, "chunk grid", name="regular")
    _expect(keys, "chunk key encoding", name="default")
    _expect({"separator": "/"} | keys.get("configuration", {}), "chunk key encoding", separator="/")
    if array.get("storage_transformers", []) != []:
        raise FormatError("Got an array with storage_transformers, expected none.")
    codecs, shard_shape = array["codecs"], None
    shape = _integers(array["shape"], "shape")
    block_shape = _integers(grid["configuration"]["chunk_shape"], "chunk shape")
    if isinstance(codecs, list) and len(codecs) == 1 and codecs[0].get("name") == SHARDING:
        shard_shape, sharding = block_shape, codecs[0]["configuration"]
        block_shape, codecs = _integers(sharding["chunk_shape"], "chunk shape"), sharding["codecs"]
        check_sharding(sharding, block_shape, shard_shape)
    if not isinstance(codecs, list) or len(codecs) != 1:
        raise FormatError(f"Got the codecs {short_repr(codecs)}, expected {CODEC_NAME!r} alone.")
    _expect(codecs[0], "codec", name=CODEC_NAME)
    configuration = CodecConfiguration.from_json(codecs[0].get("configuration"))
    check_volume(shape)
    configuration.check_blocks(block_shape)
    if configuration.architecture.dtype.name != data_type:
        raise FormatError(
            f"Got voxels of {data_type} and a network for {configuration.architecture.dtype}."
        )
    attributes = group["attributes"]
    dataset = attributes["ome"]["multiscales"][0]["datasets"][scale]
    provenance = attributes[CODEC_NAME]
    if scale:
        provenance = provenance[COARSER_SCALES][scale - 1]
    left_out = (SEAL, COARSER_SCALES)
    provenance = {key: value for key, value in provenance.items() if key not in left_out}
    return Metadata(
        shape=shape,
        block_shape=block_shape,
        configuration=configuration,
        placement=Placement(
            _voxel_size(dataset["coordinateTransformations"][0]["scale"]),
            _offset(provenance["offset_voxels"]),
        ),
        provenance=provenance,
        data_type=data_type,
        seal=None,
        shard_shape=shard_shape,
    )


def _checked_seal(group: Any, arrays: list[Any], found: list[Metadata]) -> Seal | None:
    """The seal, if the archive is sealed, compared with the metadata."""
    sealed = [each.configuration.sealed for each in found]
    if len(set(sealed)) != 1:
        raise FormatError("Got arrays of which some are sealed, expected all or none.")
    if not sealed[0]:
        known = any(each.configuration.blocks_know_their_place for each in found)
        if known and SEAL in group["attributes"][CODEC_NAME]:
            raise FormatError("Got a seal of an array that is not sealed, expected none.")
        return None
    seal = Seal.from_json(group["attributes"][CODEC_NAME].get(SEAL))
    if [len(layers) for layers in seal.layers] != [each.grid_shape[0] for each in found]:
        raise FormatError("Got a seal of other layers than the array has, expected one for each.")
    if seal.metadata != metadata_digest(group, arrays):
        raise ChecksumError(
            "Got metadata that are not those that were sealed: damaged, or changed since."
        )
    return seal


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
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise FormatError(f"Got the voxel size {short_repr(values)}, expected three numbers.")
    z, y, x = (float(value) for value in values)
    if not all(0 <= size <= MAX_VOXEL_SIZE_NM for size in (z, y, x)):
        raise FormatError(
            f"Got the voxel size {short_repr(values)} nm, expected 0 to {MAX_VOXEL_SIZE_NM:g}."
        )
    return (z, y, x)
