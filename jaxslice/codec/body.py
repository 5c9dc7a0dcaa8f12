"""The body of a payload: FORMAT.md, section 3.

    STORED:  [slice table] | voxels
    CODED:   [length, difference of the block network] | [slice table] | level tables | message

Where there is a slice table, voxels, level tables and message are those of the coded slices only.
A CODED payload has at least one of them.
"""

import struct
from typing import NamedTuple

import numpy as np

from jaxslice.codec import level_tables, slices
from jaxslice.codec.limits import most_words
from jaxslice.codec.payload import UINT8, Payload
from jaxslice.codec.slices import SliceTable
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.types import Words


class CodedBody(NamedTuple):
    """The parts of the body of a CODED payload.

    Attributes:
      difference: of the block network, or None.
      slices: the slice table, or None.
      extent: (z, y, x) of what the tables and the message describe.
      tables: level tables; see `level_tables`.
      message: uint32 [word].
      choices: uint8 [z], which of several linear predictors each slice has; None if there are not
        several.
    """

    difference: bytes | None
    slices: SliceTable | None
    extent: Triple
    tables: level_tables.Tables
    message: Words
    choices: np.ndarray | None = None


def coded_body(
    tables: level_tables.Tables,
    message: Words,
    difference: bytes | None = None,
    slice_table: SliceTable | None = None,
    dtype: np.dtype = UINT8,
    choices: np.ndarray | None = None,
) -> bytes:
    """Builds the body of a CODED payload.

    Args:
      tables: level tables of the coded slices.
      message: uint32 [word].
      difference: bytes of `network_difference.encode`, or None.
      slice_table: of the block, or None.
      dtype: of the voxels.
      choices: uint8 [z], which of several linear predictors each coded slice has; None if there
        are not several.
    """
    own = b"" if difference is None else struct.pack("<I", len(difference)) + difference
    repeats = b"" if slice_table is None else slices.pack(slice_table)
    packed = level_tables.of(dtype).pack(tables)
    chosen = b"" if choices is None else choices.astype(np.uint8).tobytes()
    return own + repeats + packed + chosen + np.asarray(message, "<u4").tobytes()


def split_coded_body(payload: Payload, dtype: np.dtype = UINT8, predictors: int = 1) -> CodedBody:
    """Splits the body of a CODED payload.

    Args:
      payload: of the block.
      dtype: of the voxels.
      predictors: number of linear predictors; 1 for networks.

    Raises:
      FormatError: the body ends early, no slice is coded, or the message is not a whole number of
        words.
    """
    body, difference = payload.body, None
    if payload.block_network:
        length = int.from_bytes(body[:4], "little")
        difference, body = body[4 : 4 + length], body[4 + length :]
        if len(difference) != length:
            raise FormatError(f"Got {len(difference)} bytes of a block network, expected {length}.")
    table, extent, body = _split_slices(payload, body, dtype)
    if extent[0] == 0:
        raise FormatError("Got a slice table without coded slices, expected at least one.")
    tables, end = level_tables.of(dtype).unpack(body, extent[0])
    choices = None
    if predictors > 1:
        choices, end = np.frombuffer(body[end : end + extent[0]], np.uint8), end + extent[0]
        if len(choices) != extent[0] or choices.max() >= predictors:
            raise FormatError(f"Got slices without one of the {predictors} predictors.")
    if (len(body) - end) % 4:
        raise FormatError(f"Got a message of {len(body) - end} bytes, expected whole words.")
    message = np.frombuffer(body, "<u4", offset=end).astype(np.uint32)
    tail, most = len(message) - 2 * extent[1], most_words(extent, dtype.itemsize)
    if tail > most:
        raise FormatError(f"Got a message of {tail} words, expected at most {most}.")
    return CodedBody(difference, table, extent, tables, message, choices)


def stored_body(voxels: np.ndarray, slice_table: SliceTable | None = None) -> bytes:
    """Builds the body of a STORED payload from the voxels of the extent."""
    if slice_table is None:
        return _little_endian(voxels)
    return slices.pack(slice_table) + _little_endian(voxels[slice_table.coded])


def stored_voxels(payload: Payload, dtype: np.dtype = UINT8) -> np.ndarray:
    """The voxels of the extent of a STORED payload.

    Raises:
      FormatError: there are too few or too many of them.
    """
    table, extent, body = _split_slices(payload, payload.body, dtype)
    depth, height, width = extent
    expected = depth * height * width * dtype.itemsize
    if len(body) != expected:
        raise FormatError(
            f"Got {len(body)} bytes of stored voxels, expected {expected} of {extent}."
        )
    voxels = np.frombuffer(body, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(extent)
    return voxels if table is None else slices.restored(voxels, table)


def _split_slices(
    payload: Payload, body: bytes, dtype: np.dtype
) -> tuple[SliceTable | None, Triple, bytes]:
    """The slice table, the extent of the coded slices, and the bytes after the table."""
    if not payload.slice_table:
        return None, payload.extent, body
    table, end = slices.unpack(body, payload.extent[0], dtype)
    return table, (len(table.coded), *payload.extent[1:]), body[end:]


def _little_endian(voxels: np.ndarray) -> bytes:
    return voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes()
