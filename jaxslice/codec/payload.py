"""A block's payload: the bytes of one chunk of an archive, as FORMAT.md, section 3, defines them.

    version mode fill flags | extent z, y, x | CRC32C of the voxels | body | CRC32C of all before
    body of mode CODED:  [length, difference of the block network] | level tables | message

The last checksum detects damaged bytes before decoding. The first one detects wrong voxels after
decoding.
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
"""Bytes of a payload without its body."""


@dataclasses.dataclass(frozen=True)
class Payload:
    """The fields of a payload.

    Attributes:
      mode: CONSTANT, STORED or CODED.
      fill: level of every voxel outside the extent, 0 to 255.
      extent: shape (z, y, x) of the box at the block's origin that the body describes.
      voxels_crc: CRC32C of the whole block's voxels in z, y, x order.
      body: empty if CONSTANT; the extent's voxels if STORED; if CODED the level tables and the
        message, preceded by the difference of the block network if there is one.
      block_network: whether the body begins with a block network. The payload is then of version 2.
    """

    mode: int
    fill: int
    extent: Triple
    voxels_crc: int
    body: bytes
    block_network: bool = False


def pack(payload: Payload) -> bytes:
    """Encodes a payload as bytes."""
    version = BLOCK_NETWORK_PAYLOAD_VERSION if payload.block_network else PAYLOAD_VERSION
    flags = int(payload.block_network)
    header = _HEADER.pack(
        version, payload.mode, payload.fill, flags, *payload.extent, payload.voxels_crc
    )
    data = header + payload.body
    return data + struct.pack("<I", crc32c(data))


def unpack(data: bytes, block_shape: Triple) -> Payload:
    """Decodes and checks the fields of a payload.

    Raises:
      ChecksumError: the bytes are damaged.
      VersionError: the payload is of a later format version.
      FormatError: the bytes are not a payload of a block of this shape.
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
    """The index of the extent in a block."""
    depth, height, width = extent
    return slice(depth), slice(height), slice(width)


def coded_body(tables: np.ndarray, message: Words, difference: bytes | None = None) -> bytes:
    """Builds the body of a CODED payload. Set `block_network` if there is a difference.

    Args:
      tables: bool [z, 256], level tables.
      message: uint32 [word].
      difference: bytes of `network_difference.encode`, or None.
    """
    own = b"" if difference is None else struct.pack("<I", len(difference)) + difference
    return own + levels.pack(tables) + np.asarray(message, "<u4").tobytes()


def split_coded_body(payload: Payload) -> tuple[bytes | None, np.ndarray, Words]:
    """Splits the body of a CODED payload.

    Returns:
      The difference of the block network or None, level tables bool [z, 256], and the message
      uint32 [word].

    Raises:
      FormatError: the body ends early, or the message is not a whole number of words.
    """
    body, difference = payload.body, None
    if payload.block_network:
        length = int.from_bytes(body[:4], "little")
        difference, body = body[4 : 4 + length], body[4 + length :]
        if len(difference) != length:
            raise FormatError(f"Got {len(difference)} bytes of a block network, expected {length}.")
    tables, end = levels.unpack(body, payload.extent[0])
    if (len(body) - end) % 4:
        raise FormatError(f"Got a message of {len(body) - end} bytes, expected whole words.")
    return difference, tables, np.frombuffer(body, "<u4", offset=end).astype(np.uint32)


def place(voxels: Volume | None, payload: Payload, block_shape: Triple) -> Volume:
    """Builds the whole block from the voxels of the payload's extent.

    Args:
      voxels: uint8 of the extent's shape; None if the payload is CONSTANT.
      payload: the payload.
      block_shape: (z, y, x).

    Raises:
      ChecksumError: the block differs from the one that was encoded.
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
    """Largest number of words in a message: longer ones are stored as plain voxels instead."""
    depth, height, width = shape
    return depth * height * width // 4 + 1
