"""An archive's metadata: OME-Zarr 0.5 group, Zarr v3 array, and the codec's configuration."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from typing import Any

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.versions import (
    ARCHIVE_VERSION,
    BLOCK_NETWORKS_ARCHIVE_VERSION,
    OLDEST_ARCHIVE_VERSION,
)
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, VersionError
from jaxslice.core.placement import Placement

CODEC_NAME = "jaxslice"
SCALE_PATH = "0"
"""Path of the full-resolution array in an archive's group."""

_SINCE_VERSION_3 = ("shear", "activity_offset")
"""Fields of an architecture that earlier versions do not read."""


@dataclasses.dataclass(frozen=True)
class CodecConfiguration:
    """The codec's configuration in an array's metadata: all that decoding a block needs.

    Attributes:
      architecture: of the network.
      packed_network: as `weights.pack_coded` makes it; before ARCHIVE_VERSION as `weights.pack`.
      own_networks: whether blocks may bring networks of their own. Before ARCHIVE_VERSION that is
        what tells version 2 from 1.
      format_version: 1 to ARCHIVE_VERSION.
    """

    architecture: Architecture
    packed_network: bytes
    own_networks: bool = False
    format_version: int = ARCHIVE_VERSION

    def __post_init__(self):
        """Refuses what a version cannot say (FormatError)."""
        before = self.format_version < ARCHIVE_VERSION
        sheared = any(
            getattr(self.architecture, name) != getattr(Architecture, name)
            for name in _SINCE_VERSION_3
        )
        own = self.format_version == BLOCK_NETWORKS_ARCHIVE_VERSION
        if before and (sheared or own != self.own_networks):
            raise FormatError(
                f"Got format version {self.format_version} with a shear of "
                f"{self.architecture.shear}, an activity offset of "
                f"{self.architecture.activity_offset} and own_networks = {self.own_networks}, "
                f"expected {Architecture.shear}, {Architecture.activity_offset} and {own}."
            )

    @property
    def coded_network(self) -> bool:
        """Whether the network is coded rather than plain."""
        return self.format_version >= ARCHIVE_VERSION

    def to_json(self) -> dict[str, Any]:
        """The JSON object of FORMAT.md, section 1."""
        architecture = self.architecture.to_json()
        own: dict[str, Any] = {"own_networks": self.own_networks}
        if self.format_version < ARCHIVE_VERSION:
            own = {}
            for name in _SINCE_VERSION_3:
                del architecture[name]
        return {
            "format_version": self.format_version,
            **own,
            "architecture": architecture,
            "network": base64.b64encode(self.packed_network).decode(),
        }

    @classmethod
    def from_json(cls, value: Any) -> CodecConfiguration:
        """Reads the JSON object.

        Raises:
          VersionError: it is of a later format version.
          FormatError: it is damaged.
        """
        if not isinstance(value, dict):
            raise FormatError(f"Got a codec configuration {value!r}, expected an object.")
        version = value.get("format_version")
        if type(version) is not int or not OLDEST_ARCHIVE_VERSION <= version <= ARCHIVE_VERSION:
            raise VersionError(
                f"Got format version {version!r}, expected {OLDEST_ARCHIVE_VERSION} to "
                f"{ARCHIVE_VERSION}: this archive needs another release of jaxslice."
            )
        architecture, own = value.get("architecture"), version == BLOCK_NETWORKS_ARCHIVE_VERSION
        if not isinstance(architecture, dict):
            raise FormatError(f"Got the architecture {architecture!r}, expected an object.")
        if version < ARCHIVE_VERSION:
            architecture = {k: v for k, v in architecture.items() if k not in _SINCE_VERSION_3}
        else:
            own = value.get("own_networks")
            if type(own) is not bool or any(name not in architecture for name in _SINCE_VERSION_3):
                raise FormatError(
                    f"Got a codec configuration of version {version} without the fields "
                    f"own_networks or {' or '.join(_SINCE_VERSION_3)}, expected all of them."
                )
        try:
            network = base64.b64decode(value["network"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"Got a codec configuration without a network: {error!r}.") from None
        return cls(Architecture.from_json(architecture), network, own, version)


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What an archive says about its volume.

    Attributes:
      shape: voxels along z, y and x.
      block_shape: of every block; those at the far edges reach beyond the volume.
      configuration: of the codec.
      placement: voxel size and global coordinate of the first voxel.
      provenance: how the archive was made, for `info`.
    """

    shape: Triple
    block_shape: Triple
    configuration: CodecConfiguration
    placement: Placement
    provenance: dict[str, Any]

    def group_json(self, name: str) -> bytes:
        """The group's `zarr.json`."""
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
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        return json.dumps(group, indent=1).encode()

    def array_json(self) -> bytes:
        """The array's `zarr.json`."""
        grid = {"name": "regular", "configuration": {"chunk_shape": list(self.block_shape)}}
        array = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": "uint8",
            "chunk_grid": grid,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": CODEC_NAME, "configuration": self.configuration.to_json()}],
            "attributes": {},
            "dimension_names": ["z", "y", "x"],
        }
        return json.dumps(array, separators=(",", ":")).encode()


def parse(group: bytes, array: bytes) -> Metadata:
    """Reads the two `zarr.json` files of an archive.

    Raises:
      FormatError: they are damaged, or describe something else; VersionError if of a later version.
    """
    try:
        attributes, described = json.loads(group)["attributes"], json.loads(array)
        (codec,) = described["codecs"]
        if codec["name"] != CODEC_NAME:
            raise FormatError(f"got the codec {codec['name']!r}, expected {CODEC_NAME!r}")
        dataset = attributes["ome"]["multiscales"][0]["datasets"][0]
        z_nm, y_nm, x_nm = map(float, dataset["coordinateTransformations"][0]["scale"])
        provenance = attributes[CODEC_NAME]
        block_shape = _shape(described["chunk_grid"]["configuration"]["chunk_shape"])
        if math.prod(block_shape) >= 1 << 31:
            raise FormatError(f"got blocks of {block_shape}, expected less than 2**31 voxels")
        return Metadata(
            shape=_shape(described["shape"]),
            block_shape=block_shape,
            configuration=CodecConfiguration.from_json(codec.get("configuration")),
            placement=Placement((z_nm, y_nm, x_nm), _triple(provenance["offset_voxels"])),
            provenance=provenance,
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError(f"got {error!r}, expected the zarr.json files of an archive.") from None


def _shape(values: Any) -> Triple:
    shape = _triple(values)
    if min(shape) < 1:
        raise ValueError(f"the shape {values}")
    return shape


def _triple(values: Any) -> Triple:
    z, y, x = values
    if not all(type(value) is int for value in values):
        raise TypeError(f"{values!r} are no integers")
    return (z, y, x)
