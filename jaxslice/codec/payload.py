"""A block's payload: the bytes of one chunk of an archive, as FORMAT.md, section 3, defines them.

    version mode flags 0 | identity | index | extent | fill | digest | body | CRC32C of all before

The last checksum detects damaged bytes before decoding. The digest covers the block's place and its
voxels: it detects wrong voxels after decoding. Before version 4 payloads do not know their place,
and the digest is the CRC32C of the voxels.
"""

import dataclasses
import struct

import numpy as np

from jaxslice.codec.limits import most_payload_bytes
from jaxslice.codec.place import Place, digest_of
from jaxslice.codec.versions import (
    BARE_PAYLOAD_VERSION,
    BLOCK_NETWORK_PAYLOAD_VERSION,
    PAYLOAD_VERSION,
)
from jaxslice.core.box import Triple
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError, VersionError

CONSTANT, STORED, CODED = 0, 1, 2
UINT8 = np.dtype(np.uint8)

_HEADER = struct.Struct("<4B8s3I3IHQ")
_OLD_HEADER = struct.Struct("<4B3II")
_FLAG_NETWORK, _FLAG_SLICES = 1, 2

BODY_START = _HEADER.size
"""Where the body of a payload begins."""

OLD_BODY_START = _OLD_HEADER.size
"""Where it begins before version 4."""

OVERHEAD_BYTES = _HEADER.size + 4
"""Bytes of a payload without its body."""

_OLD_OVERHEAD_BYTES = _OLD_HEADER.size + 4


@dataclasses.dataclass(frozen=True)
class Payload:
    """The fields of a payload.

    Attributes:
      mode: CONSTANT, STORED or CODED.
      fill: level of every voxel outside the extent.
      extent: shape (z, y, x) of the box at the block's origin that the body describes.
      digest: of the whole block, from `block_digest`.
      body: of the payload, as `body.py` describes it; empty if CONSTANT.
      block_network: whether the body begins with a block network.
      slice_table: whether the body holds a slice table; since version 4.
      place: of the block; None before version 4.
    """

    mode: int
    fill: int
    extent: Triple
    digest: int
    body: bytes
    block_network: bool = False
    slice_table: bool = False
    place: Place | None = None

    @property
    def version(self) -> int:
        """Version of the payload."""
        if self.place is not None:
            return PAYLOAD_VERSION
        return BLOCK_NETWORK_PAYLOAD_VERSION if self.block_network else BARE_PAYLOAD_VERSION


def block_digest(block: np.ndarray, place: Place | None) -> int:
    """What a payload's `digest` must be: for a block at a place, or before version 4."""
    return crc32c(block) if place is None else digest_of(block, place)


def pack(payload: Payload) -> bytes:
    """Encodes a payload as bytes."""
    version, mode, extent, digest = payload.version, payload.mode, payload.extent, payload.digest
    if payload.place is None:
        assert not payload.slice_table, "slice tables came with version 4"
        header = _OLD_HEADER.pack(
            version, mode, payload.fill, int(payload.block_network), *extent, digest
        )
    else:
        flags = _FLAG_NETWORK * payload.block_network | _FLAG_SLICES * payload.slice_table
        place = payload.place
        header = _HEADER.pack(
            *(version, mode, flags, 0, place.identity, *place.packed_index),
            *(*extent, payload.fill, digest),
        )
    data = header + payload.body
    return data + struct.pack("<I", crc32c(data))


def unpack(data: bytes, block_shape: Triple, dtype: np.dtype = UINT8) -> Payload:
    """Decodes and checks the fields of a payload of any version.

    Args:
      data: bytes of the payload.
      block_shape: (z, y, x) of the block.
      dtype: of its voxels.

    Raises:
      ChecksumError: the bytes are damaged.
      VersionError: the payload is of a later format version.
      FormatError: the bytes are not a payload of a block of this shape.
    """
    version = data[0] if data else PAYLOAD_VERSION
    old = version in (BARE_PAYLOAD_VERSION, BLOCK_NETWORK_PAYLOAD_VERSION)
    least = _OLD_OVERHEAD_BYTES if old else OVERHEAD_BYTES
    if not old and version != PAYLOAD_VERSION:
        raise VersionError(
            f"Got a block of format version {version}, expected 1, 2 or {PAYLOAD_VERSION}: "
            "damaged, or written by a later jaxslice."
        )
    if len(data) < least:
        raise FormatError(
            f"Got a block of {len(data)} bytes, expected at least {least}: truncated?"
        )
    if len(data) > most_payload_bytes(block_shape, dtype.itemsize):
        raise FormatError(f"Got {len(data)} bytes for a block of {block_shape}, expected fewer.")
    if crc32c(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise ChecksumError("Got a block whose CRC32C does not match its bytes: damaged.")
    payload = _unpack_old(data) if old else _unpack_new(data)
    if payload.fill > np.iinfo(dtype).max:
        raise FormatError(f"Got a block with the fill {payload.fill}, expected {dtype} voxels.")
    empty = payload.mode == CONSTANT
    fits = all(0 <= n <= limit for n, limit in zip(payload.extent, block_shape, strict=True))
    none = not any(payload.extent) if empty else 0 not in payload.extent
    if not fits or not none or (empty and payload.body):
        raise FormatError(f"Got an extent of {payload.extent} in a block of {block_shape}.")
    return payload


def _unpack_old(data: bytes) -> Payload:
    version, mode, fill, flags, z, y, x, digest = _OLD_HEADER.unpack_from(data)
    own = version == BLOCK_NETWORK_PAYLOAD_VERSION
    modes = (CODED,) if own else (CONSTANT, STORED, CODED)
    if mode not in modes or flags != own:
        raise FormatError(
            f"Got a block of version {version} with mode {mode} and flags {flags}, expected "
            f"{modes[0]}-{modes[-1]} and {int(own)}."
        )
    return Payload(mode, fill, (z, y, x), digest, data[_OLD_HEADER.size : -4], own)


def _unpack_new(data: bytes) -> Payload:
    fields = _HEADER.unpack_from(data)
    version, mode, flags, zero, identity = fields[:5]
    index, extent, (fill, digest) = fields[5:8], fields[8:11], fields[11:]
    allowed = {CONSTANT: 0, STORED: _FLAG_SLICES, CODED: _FLAG_SLICES | _FLAG_NETWORK}
    if mode not in allowed or flags & ~allowed[mode] or zero:
        raise FormatError(
            f"Got a block of version {version} with mode {mode}, flags {flags} and {zero}, "
            "expected a mode of 0-2, its flags and 0."
        )
    return Payload(
        mode, fill, extent, digest, data[_HEADER.size : -4],
        bool(flags & _FLAG_NETWORK), bool(flags & _FLAG_SLICES), Place.unpack(identity, index),
    )  # fmt: skip


def black_payload(block_shape: Triple, place: Place, dtype: np.dtype = UINT8) -> bytes:
    """The payload of a block whose voxels are all 0."""
    digest = block_digest(np.zeros(block_shape, dtype), place)
    return pack(Payload(CONSTANT, 0, (0, 0, 0), digest, b"", place=place))


def check_place(payload: Payload, expected: Place, placeless: bool) -> None:
    """Checks that a payload belongs where it was found.

    Args:
      payload: of version 4.
      expected: the place; an index of None is not checked.
      placeless: whether payloads that do not know their index are right everywhere in the array.

    Raises:
      FormatError: it belongs elsewhere.
    """
    found = payload.place
    assert found is not None
    if found.identity != expected.identity:
        raise FormatError(
            f"Got a block of the array {found.identity.hex()}, expected one of "
            f"{expected.identity.hex()}: copied from another archive, or left over."
        )
    if expected.index is None or (found.index is None and placeless):
        return
    if found.index != expected.index:
        what = "that does not know its index" if found.index is None else f"of {found.index}"
        raise FormatError(
            f"Got a block {what}, expected the one of {expected.index}: swapped, copied, or "
            "written by another program after the archive was sealed."
        )


def extent_of(block: np.ndarray, fill: int) -> Triple:
    """Shape of the smallest box at the origin that holds every voxel other than `fill`."""
    # Most blocks are full, which three faces show.
    if all((face != fill).any() for face in (block[-1], block[:, -1], block[:, :, -1])):
        depth, height, width = block.shape
        return depth, height, width
    differs = block != fill
    depth, height, width = (
        int(np.flatnonzero(differs.any(axis=axes)).max(initial=-1)) + 1
        for axes in ((1, 2), (0, 2), (0, 1))
    )
    return depth, height, width


def within(extent: Triple) -> tuple[slice, slice, slice]:
    """The index of the extent in a block."""
    depth, height, width = extent
    return slice(depth), slice(height), slice(width)


def whole_block(
    voxels: np.ndarray | None, payload: Payload, block_shape: Triple, dtype: np.dtype = UINT8
) -> np.ndarray:
    """Builds the whole block from the voxels of the payload's extent.

    Args:
      voxels: of the extent's shape; None if the payload is CONSTANT.
      payload: the payload.
      block_shape: (z, y, x).
      dtype: of the voxels.

    Raises:
      ChecksumError: the block differs from the one that was encoded.
    """
    if voxels is not None and voxels.shape == block_shape and voxels.flags.writeable:
        block = np.ascontiguousarray(voxels)
    else:
        block = np.full(block_shape, payload.fill, dtype)
        if voxels is not None:
            block[within(payload.extent)] = voxels
    if block_digest(block, payload.place) != payload.digest:
        raise ChecksumError(
            "Got a block whose voxels do not match their digest after decoding: damaged, or the "
            "device computes wrongly."
        )
    return block
