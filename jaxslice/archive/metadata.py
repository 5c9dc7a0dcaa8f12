"""An archive's metadata: OME-Zarr 0.5 group, Zarr v3 array, and the codec's configuration."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxslice.archive.configuration import CODEC_NAME, CodecConfiguration
from jaxslice.archive.seal import NOT_SEALED, Seal, metadata_digest
from jaxslice.codec.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_OFFSET, check_volume
from jaxslice.core.box import Triple
from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.core.placement import Placement
from jaxslice.core.shorten import short_repr, shortened
from jaxslice.core.voxel_types import VOXEL_TYPES

SCALE_PATH = "0"
"""Path of the full-resolution array in an archive's group."""

_SEAL = "seal"
"""Field of the group's attribute `jaxslice`."""

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
    """

    shape: Triple
    block_shape: Triple
    configuration: CodecConfiguration
    placement: Placement
    provenance: dict[str, Any]
    data_type: str
    seal: Seal | None

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

    def group_json(self, name: str, layers: Sequence[Sequence[bytes]] | None = None) -> bytes:
        """The group's `zarr.json`.

        Args:
          name: of the volume.
          layers: of each array, to seal the archive with; None to leave it unsealed.
        """
        group = self._group(name)
        if layers is not None:
            digest = metadata_digest(group, [self._array()])
            seal = Seal(digest, tuple(map(tuple, layers)))
            group["attributes"][CODEC_NAME]["seal"] = seal.to_json()
        return json.dumps(group, indent=1).encode()

    def array_json(self) -> bytes:
        """The array's `zarr.json`."""
        return json.dumps(self._array(), separators=(",", ":")).encode()

    def _group(self, name: str) -> dict[str, Any]:
        voxel_size, offset = self.placement.voxel_size_nm, self.placement.offset_voxels
        translation = [o * s for o, s in zip(offset, voxel_size, strict=True)]
        transformations = [
            {"type": "scale", "scale": list(voxel_size)},
            {"type": "translation", "translation": translation},
        ]
        multiscale = {
            "name": name,
            "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
            "datasets": [{"path": SCALE_PATH, "coordinateTransformations": transformations}],
        }
        attributes = {
            "ome": {"version": "0.5", "multiscales": [multiscale]},
            CODEC_NAME: {**self.provenance, "offset_voxels": list(offset)},
        }
        return {"zarr_format": 3, "node_type": "group", "attributes": attributes}

    def _array(self) -> dict[str, Any]:
        grid = {"name": "regular", "configuration": {"chunk_shape": list(self.block_shape)}}
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.data_type,
            "chunk_grid": grid,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": CODEC_NAME, "configuration": self.configuration.to_json()}],
            "attributes": {},
            "dimension_names": ["z", "y", "x"],
        }


def grid_of(shape: Triple, block_shape: Triple) -> Triple:
    """Blocks along z, y and x."""
    z, y, x = (-(-n // b) for n, b in zip(shape, block_shape, strict=True))
    return (z, y, x)


def parse(group: bytes, array: bytes) -> Metadata:
    """Reads the two `zarr.json` files of an archive.

    Raises:
      FormatError: they are damaged, or describe something else; VersionError if of a later version.
    """
    try:
        return _parsed(_json(group), _json(array))
    except FormatError as error:
        raise type(error)(shortened(str(error))) from None
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise FormatError(
            f"Got {short_repr(error)}, expected the zarr.json files of an archive."
        ) from None


def _json(data: bytes) -> Any:
    if len(data) > MAX_JSON_BYTES:
        raise FormatError(
            f"Got {len(data)} bytes of JSON, expected at most {MAX_JSON_BYTES} of a zarr.json."
        )
    try:
        document = json.loads(data)
    except RecursionError:
        raise FormatError("Got JSON that is nested too deeply, expected zarr.json.") from None
    _check_depth(document)
    return document


def _check_depth(document: Any) -> None:
    """Refuses deep nesting, which whatever prints or writes the document could not take."""
    level = [document]
    for _ in range(MAX_JSON_DEPTH):
        values = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for group in values for v in group if isinstance(v, dict | list)]
        if not level:
            return
    raise FormatError(f"Got JSON nested more than {MAX_JSON_DEPTH} deep, expected less.")


def _parsed(group: Any, array: Any) -> Metadata:
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
    codecs = array["codecs"]
    if not isinstance(codecs, list) or len(codecs) != 1:
        raise FormatError(f"Got the codecs {short_repr(codecs)}, expected {CODEC_NAME!r} alone.")
    _expect(codecs[0], "codec", name=CODEC_NAME)
    shape = _integers(array["shape"], "shape")
    block_shape = _integers(grid["configuration"]["chunk_shape"], "chunk shape")
    configuration = CodecConfiguration.from_json(codecs[0].get("configuration"))
    check_volume(shape)
    configuration.check_blocks(block_shape)
    if configuration.architecture.dtype.name != data_type:
        raise FormatError(
            f"Got voxels of {data_type} and a network for {configuration.architecture.dtype}."
        )
    seal = _checked_seal(group, array, configuration, grid_of(shape, block_shape))
    attributes = group["attributes"]
    dataset = attributes["ome"]["multiscales"][0]["datasets"][0]
    provenance = {key: value for key, value in attributes[CODEC_NAME].items() if key != _SEAL}
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
        seal=seal,
    )


def _checked_seal(
    group: Any, array: Any, configuration: CodecConfiguration, grid_shape: Triple
) -> Seal | None:
    """The seal, if the archive is sealed, compared with the metadata."""
    if not configuration.sealed:
        return None
    seal = Seal.from_json(group["attributes"][CODEC_NAME].get(_SEAL))
    if [len(layers) for layers in seal.layers] != [grid_shape[0]]:
        raise FormatError("Got a seal of other layers than the array has, expected one for each.")
    if seal.metadata != metadata_digest(group, [array]):
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
    z, y, x = (float(value) for value in values)
    if not all(0 <= size <= MAX_VOXEL_SIZE_NM for size in (z, y, x)):
        raise FormatError(
            f"Got the voxel size {short_repr(values)} nm, expected 0 to {MAX_VOXEL_SIZE_NM:g}."
        )
    return (z, y, x)
