"""Section 3 of FORMAT.md: from the payload of a block to its voxels."""

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxslice.core.errors import ChecksumError, VersionError
from jaxslice.reference import limits
from jaxslice.reference.checks import crc32c, require, without_crc
from jaxslice.reference.configuration import read_configuration
from jaxslice.reference.difference import read_difference
from jaxslice.reference.levels import read_levels
from jaxslice.reference.march import decode_message, pitch_of
from jaxslice.reference.prediction import Predictor
from jaxslice.reference.sixteen import read_wide_levels
from jaxslice.reference.slices import SliceTable, read_slices
from jaxslice.reference.xxh3 import xxh3

CONSTANT, STORED, CODED = 0, 1, 2
NETWORK, SLICES = 1, 2
HEADER = struct.Struct("<4B8s3I3IHQ")
OLD_HEADER = struct.Struct("<4B3II")
NO_INDEX = (2**32 - 1,) * 3


def check_chunk_shape(shape: Sequence[int], predictor: Predictor) -> None:
    """Section 9: the limits of a chunk."""
    most = limits.CHUNK_VOXELS if predictor.version == 4 else limits.OLD_CHUNK_VOXELS
    good = all(1 <= n <= limits.CHUNK_AXIS for n in shape) and math.prod(shape) <= most
    require(good, f"Got blocks of {shape}, expected at most {most} voxels.")
    steps = (shape[0] - 1) * pitch_of(shape[2], predictor) + shape[2]
    steps += predictor.shear * (shape[1] - 1)
    require(steps <= limits.STEPS, f"Got blocks of {shape}, which take {steps} times.")


class _Header(NamedTuple):
    version: int
    mode: int
    flags: int
    identity: bytes
    block: tuple[int, ...]
    extent: tuple[int, ...]
    fill: int
    digest: int


def decode_block(
    payload: bytes,
    block_shape: Sequence[int],
    configuration: Any,
    index: Sequence[int] | None = None,
    *,
    dtype: str = "uint8",
) -> np.ndarray:
    """Decodes one payload to a block [z, y, x].

    Args:
      payload: the bytes of one block in the store.
      block_shape: voxels of a block along z, y and x.
      configuration: the JSON object `configuration` of the array's codec.
      index: of the block in the chunk grid; None checks no index.
      dtype: of the voxels, "uint8" or "uint16".

    Raises:
      FormatError: the payload or the configuration is damaged.
    """
    predictor = read_configuration(configuration)
    kind = np.dtype(dtype)
    require(8 * kind.itemsize == predictor.voxel_bits, f"Got a network for other than {dtype}.")
    check_chunk_shape(block_shape, predictor)
    most = limits.most_payload_bytes(math.prod(block_shape) * kind.itemsize)
    require(len(payload) <= most, f"Got {len(payload)} bytes, expected at most {most}.")
    header, body = _read_header(without_crc(payload, "a payload"), predictor)
    extent = header.extent
    fits = all(e <= n for e, n in zip(extent, block_shape, strict=True))
    fits &= all((e == 0) == (header.mode == CONSTANT) for e in extent)
    require(fits, f"Got the extent {extent} in mode {header.mode}, for blocks of {block_shape}.")
    require(header.fill <= np.iinfo(kind).max, f"Got the fill {header.fill} of {dtype} voxels.")
    if predictor.version == 4:
        _check_place(header, predictor, index)
    if header.flags & NETWORK:
        length = int.from_bytes(body[:4], "little")
        require(len(body) >= 4 + length, f"Got no difference of {length} bytes.")
        layers = read_difference(body[4 : 4 + length], predictor.layers, 64)
        predictor = predictor._replace(layers=layers)
        body = body[4 + length :]
    slices = SliceTable.of_coded(extent[0])
    if header.flags & SLICES:
        slices, body = read_slices(body, extent[0], kind)
    coded_extent = (len(slices.coded), *extent[1:])
    if header.mode == CODED:
        body = _decode_body(body, coded_extent, block_shape[2], predictor, kind)
    size = math.prod(coded_extent) * kind.itemsize
    require(len(body) == size, f"Got {len(body)} bytes of voxels for {coded_extent}.")
    coded = np.frombuffer(body, kind.newbyteorder("<")).reshape(coded_extent)
    block = np.full(tuple(block_shape), header.fill, kind)
    block[tuple(map(slice, extent))] = slices.restore(coded)
    _check_digest(block, header)
    return block


def _read_header(payload: bytes, predictor: Predictor) -> tuple[_Header, bytes]:
    """The fields of a payload of any version, and its body."""
    version = payload[0] if payload else 0
    latest = 2 if predictor.block_networks else 1
    known = version == 4 if predictor.version == 4 else 1 <= version <= latest
    require(
        known, f"Got a payload of version {version} in a format {predictor.version}.", VersionError
    )
    form = HEADER if version == 4 else OLD_HEADER
    require(len(payload) >= form.size, f"Got a payload of only {len(payload)} bytes.")
    fields, body = form.unpack_from(payload), payload[form.size :]
    if version < 4:
        _, mode, fill, flags, *extent, digest = fields
        good = (mode == CODED or (mode < CODED and version == 1)) and flags == version - 1
        require(good, f"Got mode {mode}, flags {flags} in version {version}.")
        return _Header(version, mode, flags, b"", NO_INDEX, tuple(extent), fill, digest), body
    _, mode, flags, zero, identity = fields[:5]
    fill, digest = fields[11:]
    allowed = {CONSTANT: 0, STORED: SLICES, CODED: SLICES | NETWORK * predictor.block_networks}
    good = mode in allowed and not flags & ~allowed[mode] and zero == 0
    require(good, f"Got mode {mode}, flags {flags} and {zero} in version 4.")
    return _Header(version, mode, flags, identity, fields[5:8], fields[8:11], fill, digest), body


def _check_place(header: _Header, predictor: Predictor, index: Sequence[int] | None) -> None:
    """Section 3, Place."""
    same = header.identity == predictor.identity
    require(same, f"Got a block of {header.identity.hex()}, expected another array's.")
    if index is not None and (predictor.sealed or header.block != NO_INDEX):
        require(header.block == tuple(index), f"Got block {header.block}, expected {index}.")


def _check_digest(block: np.ndarray, header: _Header) -> None:
    voxels = block.astype(block.dtype.newbyteorder("<")).tobytes()
    if header.version < 4:
        found = crc32c(voxels)
    else:
        numbers = (*header.block, *block.shape, block.dtype.itemsize)
        found = xxh3(struct.pack("<8s3I3IB", header.identity, *numbers) + voxels)
    require(
        found == header.digest, "Got a block whose voxels do not match its digest.", ChecksumError
    )


def _decode_body(
    body: bytes, extent: tuple[int, ...], width: int, predictor: Predictor, kind: np.dtype
) -> bytes:
    """The voxels of the coded slices from the level tables and the message."""
    require(extent[0] > 0, "Got a coded block without coded slices.")
    read = read_wide_levels if kind.itemsize == 2 else read_levels
    levels, message = read(body, extent[0])
    counts = np.array([len(slice_levels) for slice_levels in levels])
    choices = np.zeros(extent[0], np.int64)
    if predictor.choices > 1:
        choices = np.frombuffer(message[: extent[0]], np.uint8).astype(np.int64)
        good = len(choices) == extent[0] and (choices < predictor.choices).all()
        require(good, f"Got slices without one of {predictor.choices} predictors.")
        message = message[extent[0] :]
    most = limits.most_words(math.prod(extent) * kind.itemsize)
    symbols = decode_message(message, extent, width, counts, most, predictor, choices)
    planes = zip(levels, symbols, strict=True)
    stored = kind.newbyteorder("<")
    return b"".join(table[plane].astype(stored).tobytes() for table, plane in planes)
