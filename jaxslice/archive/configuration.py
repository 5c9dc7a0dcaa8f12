"""The configuration of the codec in an array's metadata: FORMAT.md, section 1."""

from __future__ import annotations

import base64
import dataclasses
import re
from typing import Any

from jaxslice.codec import limits
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.linear import KIND as LINEAR
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.place import IDENTITY_BYTES, Place
from jaxslice.codec.versions import (
    ARCHIVE_VERSION,
    BLOCK_NETWORKS_ARCHIVE_VERSION,
    CODED_NETWORK_ARCHIVE_VERSION,
    OLDEST_ARCHIVE_VERSION,
)
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, VersionError
from jaxslice.core.shorten import short_repr

CODEC_NAME = "jaxslice"

_SINCE_VERSION_3 = ("shear", "activity_offset")
"""Fields of an architecture that earlier versions do not read."""

_KIND = "kind"
_VOXEL_BITS = "voxel_bits"
"""Fields of an architecture since version 4; the second one only where it is not 8."""

_NETWORK = "network"

_IDENTITY = re.compile(f"[0-9a-f]{{{2 * IDENTITY_BYTES}}}")


@dataclasses.dataclass(frozen=True)
class CodecConfiguration:
    """The codec's configuration in an array's metadata: all that decoding a block needs.

    Attributes:
      architecture: of the network or the linear predictor.
      packed_network: from `network_bytes.pack_coded`; before version 3 from `network_bytes.pack`;
        of a linear predictor from `linear.pack`.
      block_networks: whether blocks may bring networks of their own. Before version 3 that is the
        difference between the versions 2 and 1.
      format_version: 1 to ARCHIVE_VERSION.
      identity: of the array, 8 bytes; None before version 4, and until `create_archive` sets it.
      sealed: whether the archive is sealed: every block is there and knows its index. False before
        version 4.
    """

    architecture: Architecture | LinearArchitecture
    packed_network: bytes
    block_networks: bool = False
    format_version: int = ARCHIVE_VERSION
    identity: bytes | None = None
    sealed: bool = False

    def __post_init__(self):
        """Refuses what a version cannot say (FormatError)."""
        if isinstance(self.architecture, LinearArchitecture):
            if self.block_networks or self.format_version < ARCHIVE_VERSION:
                raise FormatError(
                    f"Got a linear predictor of format version {self.format_version} with "
                    f"own_networks = {self.block_networks}, expected {ARCHIVE_VERSION} and False."
                )
            return
        if self.architecture.is_wide and not self.blocks_know_their_place:
            raise FormatError(
                f"Got format version {self.format_version} with 16-bit voxels, expected "
                f"{ARCHIVE_VERSION}."
            )
        before = self.format_version < CODED_NETWORK_ARCHIVE_VERSION
        sheared = any(
            getattr(self.architecture, name) != getattr(Architecture, name)
            for name in _SINCE_VERSION_3
        )
        own = self.format_version == BLOCK_NETWORKS_ARCHIVE_VERSION
        if before and (sheared or own != self.block_networks):
            raise FormatError(
                f"Got format version {self.format_version} with a shear of "
                f"{self.architecture.shear}, an activity offset of "
                f"{self.architecture.activity_offset} and own_networks = {self.block_networks}, "
                f"expected {Architecture.shear}, {Architecture.activity_offset} and {own}."
            )

    @property
    def coded_network(self) -> bool:
        """Whether the network is coded rather than plain."""
        return self.format_version >= CODED_NETWORK_ARCHIVE_VERSION

    @property
    def blocks_know_their_place(self) -> bool:
        """Whether payloads say the identity of the array and the index of the block."""
        return self.format_version >= ARCHIVE_VERSION

    @property
    def has_all_blocks(self) -> bool:
        """Whether a missing block is damage. In others it is black: zarr drops black chunks."""
        return self.sealed or not self.blocks_know_their_place

    def check_blocks(self, block_shape: Triple) -> None:
        """Refuses blocks beyond the limits of the format (FormatError)."""
        limits.check_blocks(block_shape, self.format_version)
        limits.check_steps(Geometry.of(block_shape, self.architecture))

    def place_of(self, index: Triple | None) -> Place:
        """The place of a block of the array; an index of None is not known."""
        return Place(self.identity or bytes(IDENTITY_BYTES), index)

    def to_json(self) -> dict[str, Any]:
        """The JSON object of FORMAT.md, section 1."""
        architecture = self.architecture.to_json()
        own: dict[str, Any] = {"own_networks": self.block_networks}
        identity: dict[str, Any] = {}
        if self.blocks_know_their_place:
            assert self.identity is not None, "create_archive sets it"
            identity = {"identity": self.identity.hex(), "sealed": self.sealed}
            architecture = {_KIND: _NETWORK} | architecture
        if self.format_version < CODED_NETWORK_ARCHIVE_VERSION:
            own = {}
            for name in _SINCE_VERSION_3:
                del architecture[name]
        return {
            "format_version": self.format_version,
            **identity,
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
            raise FormatError(f"Got a codec configuration {short_repr(value)}, expected an object.")
        version = value.get("format_version")
        if type(version) is not int or not OLDEST_ARCHIVE_VERSION <= version <= ARCHIVE_VERSION:
            raise VersionError(
                f"Got format version {short_repr(version)}, expected {OLDEST_ARCHIVE_VERSION} to "
                f"{ARCHIVE_VERSION}: this archive needs another release of jaxslice."
            )
        architecture, own = value.get("architecture"), version == BLOCK_NETWORKS_ARCHIVE_VERSION
        if not isinstance(architecture, dict):
            raise FormatError(
                f"Got the architecture {short_repr(architecture)}, expected an object."
            )
        if version < ARCHIVE_VERSION:
            architecture = {k: v for k, v in architecture.items() if k != _VOXEL_BITS}
        if version < CODED_NETWORK_ARCHIVE_VERSION:
            architecture = {k: v for k, v in architecture.items() if k not in _SINCE_VERSION_3}
        else:
            own = value.get("own_networks")
            is_linear = version >= ARCHIVE_VERSION and architecture.get(_KIND) == LINEAR
            needed = () if is_linear else _SINCE_VERSION_3
            if type(own) is not bool or any(name not in architecture for name in needed):
                raise FormatError(
                    f"Got a codec configuration of version {version} without the fields "
                    f"own_networks or {' or '.join(_SINCE_VERSION_3)}, expected all of them."
                )
        try:
            network = base64.b64decode(value["network"], validate=True)
            if base64.b64encode(network).decode() != value["network"]:
                raise ValueError("unused bits that are not 0")
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"Got a codec configuration without a network: {short_repr(error)}."
            ) from None
        identity, sealed, kind = None, False, Architecture
        if version >= ARCHIVE_VERSION:
            identity, sealed = _identity(value.get("identity")), value.get("sealed")
            if type(sealed) is not bool:
                raise FormatError(f"Got sealed = {short_repr(sealed)}, expected true or false.")
            kind = _kind(architecture.get(_KIND))
        return cls(kind.from_json(architecture), network, own, version, identity, sealed)


def _kind(value: Any) -> type[Architecture] | type[LinearArchitecture]:
    """The class of a kind of architecture."""
    kinds = {_NETWORK: Architecture, LINEAR: LinearArchitecture}
    if not isinstance(value, str) or value not in kinds:
        raise FormatError(
            f"Got an architecture of the kind {short_repr(value)}, expected one of {list(kinds)}."
        )
    return kinds[value]


def _identity(value: Any) -> bytes:
    if not isinstance(value, str) or not _IDENTITY.fullmatch(value):
        raise FormatError(
            f"Got the identity {short_repr(value)}, expected {2 * IDENTITY_BYTES} hex digits."
        )
    return bytes.fromhex(value)
