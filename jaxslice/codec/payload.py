"""A block's payload: the bytes of one chunk of an archive. FORMAT.md, section 3, is the authority.

    version mode fill flags | extent z, y, x | CRC32C of the voxels | body | CRC32C of all before
    body of mode CODED:  [length, difference of the block's own network] | level tables | message

The checksum at the end says whether the bytes are those that were written, before anything is made
of them; the one in front says whether the voxels that came out are those that went in.
"""

import dataclasses
import struct

import numpy as np

from jaxslice.codec import levels
from jaxslice.codec.versions import BLOCK_NETWORK_PAYLOAD_VERSION, PAYLOAD_VERSION
from jaxslice.core.box import Triple
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError, VersionError
from jaxslice.core.types import Volume, Words

CONSTANT, STORED, CODED = 0, 1, 2
_HEADER = struct.Struct("<BBBBIIII")
OVERHEAD_BYTES = _HEADER.size + 4
"""Bytes of a payload beside its body."""


@dataclasses.dataclass(frozen=True)
class Payload:
    """What a block's bytes say.

    Attributes:
      mode: CONSTANT, STORED or CODED.
      fill: level of every voxel outside the extent.
      extent: shape of the box, at the block's origin, that the body describes.
      voxels_crc: CRC32C of the whole block's voxels in z, y, x order.
      body: CONSTANT nothing, STORED the extent's voxels, CODED level tables and message, and
        before them the block's own network if there is one.
      block_network: whether the body begins with one. The payload is then of version 2.
    """

    mode: int
    fill: int
    extent: Triple
    voxels_crc: int
    body: bytes
    block_network: bool = False


def pack(payload: Payload) -> bytes:
    """The payload as bytes."""
    version = BLOCK_NETWORK_PAYLOAD_VERSION if payload.block_network else PAYLOAD_VERSION
    flags = int(payload.block_network)
    header = _HEADER.pack(
        version, payload.mode, payload.fill, flags, *payload.extent, payload.voxels_crc
    )
    data = header + payload.body
    return data + struct.pack("<I", crc32c(data))


def unpack(data: bytes, block_shape: Triple) -> Payload:
    """Reads a payload and checks everything that can be checked before decoding.

    Raises:
      ChecksumError: the bytes are not those that were written.
      VersionError: they were written by a later version of the format.
      FormatError: they are no payload of a block of this shape.
    """
    if len(data) < OVERHEAD_BYTES:
        raise FormatError(
            f"Got a block of {len(data)} bytes, expected at least {OVERHEAD_BYTES}: truncated?"
        )
    if data[0] not in (PAYLOAD_VERSION, BLOCK_NETWORK_PAYLOAD_VERSION):
        raise VersionError(
            f"Got a block of format version {data[0]}, expected {PAYLOAD_VERSION} or "
            f"{BLOCK_NETWORK_PAYLOAD_VERSION}: damaged, or written by a later jaxslice."
        )
    if crc32c(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise ChecksumError("Got a block whose CRC32C does not match its bytes: damaged.")
    version, mode, fill, flags, *extent, voxels_crc = _HEADER.unpack_from(data)
    depth, height, width = extent
    own = version == BLOCK_NETWORK_PAYLOAD_VERSION
    body = data[_HEADER.size : -4]
    payload = Payload(mode, fill, (depth, height, width), voxels_crc, body, own)
    modes = (CODED,) if own else (CONSTANT, STORED, CODED)
    if mode not in modes or flags != own:
        raise FormatError(
            f"Got a block of version {version} with mode {mode} and flags {flags}, expected "
            f"{modes[0]}-{modes[-1]} and {int(own)}."
        )
    fits = all(0 <= n <= limit for n, limit in zip(extent, block_shape, strict=True))
    empty = mode == CONSTANT
    if not fits or (any(extent) if empty else 0 in extent) or (empty and payload.body):
        raise FormatError(f"Got an extent of {tuple(extent)} in a block of {block_shape}.")
    return payload


def extent_of(block: Volume, fill: int) -> Triple:
    """Shape of the smallest box at the origin that holds every voxel other than `fill`."""
    differs = block != fill
    depth, height, width = (
        int(np.flatnonzero(differs.any(axis=axes)).max(initial=-1)) + 1
        for axes in ((1, 2), (0, 2), (0, 1))
    )
    return depth, height, width


def within(extent: Triple) -> tuple[slice, slice, slice]:
    """The extent as an index."""
    depth, height, width = extent
    return slice(depth), slice(height), slice(width)


def coded_body(tables: np.ndarray, message: Words, difference: bytes | None = None) -> bytes:
    """The body of a CODED payload, whose `block_network` must say whether there is a difference."""
    own = b"" if difference is None else struct.pack("<I", len(difference)) + difference
    return own + levels.pack(tables) + np.asarray(message, "<u4").tobytes()


def split_coded_body(payload: Payload) -> tuple[bytes | None, np.ndarray, Words]:
    """(difference of the own network, level tables, message) of a CODED payload.

    Raises:
      FormatError: the body ends early or is no whole number of words.
    """
    body, difference = payload.body, None
    if payload.block_network:
        length = int.from_bytes(body[:4], "little")
        difference, body = body[4 : 4 + length], body[4 + length :]
        if len(difference) != length:
            raise FormatError(
                f"Got {len(difference)} bytes of a block's own network, expected {length}."
            )
    tables, end = levels.unpack(body, payload.extent[0])
    if (len(body) - end) % 4:
        raise FormatError(f"Got a message of {len(body) - end} bytes, expected whole words.")
    return difference, tables, np.frombuffer(body, "<u4", offset=end).astype(np.uint32)


def place(voxels: Volume | None, payload: Payload, block_shape: Triple) -> Volume:
    """The whole block, given the voxels of the payload's extent.

    Raises:
      ChecksumError: it is not the block that was encoded.
    """
    block = np.full(block_shape, payload.fill, np.uint8)
    if voxels is not None:
        block[within(payload.extent)] = voxels
    if crc32c(block) != payload.voxels_crc:
        raise ChecksumError(
            "Got a block whose voxels do not match their CRC32C after decoding: damaged, or the "
            "device computes wrongly."
        )
    return block


def most_words(shape: Triple) -> int:
    """A message is never longer than the voxels it stands for, or they would have been stored."""
    depth, height, width = shape
    return depth * height * width // 4 + 1
