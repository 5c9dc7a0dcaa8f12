"""Slice tables: the slices of a block that repeat an earlier one or are constant.

Microscopists replace a lost section by a copy of its neighbour or leave it black. Such slices are
not coded. What is coded is the block of the other slices, one after the other.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import xxhash

from jaxslice.core.errors import FormatError

CODED, CONSTANT = 0, 255
"""Kinds of slices. A kind between is the distance to the earlier slice that this one equals."""

_VOXELS_PER_BYTE = 16
"""Voxels that each byte of a table must leave out. Tables of thin blocks would cost more than they
save."""


@dataclasses.dataclass(frozen=True)
class SliceTable:
    """Which slices of a block's extent are coded, and what the others are.

    Attributes:
      kinds: uint8 [z]: CODED, CONSTANT, or the distance to the earlier slice that it equals.
      values: the level of each constant slice, in the block's dtype.
    """

    kinds: np.ndarray
    values: np.ndarray

    @property
    def coded(self) -> np.ndarray:
        """Indices of the slices that are coded, ascending."""
        return np.flatnonzero(self.kinds == CODED)


def find(voxels: np.ndarray) -> SliceTable | None:
    """Finds repeated and constant slices.

    Args:
      voxels: uint8 or uint16 [z, y, x], not empty.

    Returns:
      The table, or None if it would not make the block shorter.
    """
    earlier: dict[int, int] = {}
    kinds, values = np.zeros(len(voxels), np.uint8), []
    for z, plane in enumerate(voxels):
        if (plane[0] == plane[0, 0]).all() and (plane == plane[0, 0]).all():
            kinds[z] = CONSTANT
            values.append(plane[0, 0])
            continue
        plane = np.ascontiguousarray(plane)
        key = xxhash.xxh3_64_intdigest(plane.reshape(-1).view(np.uint8).data)
        before = earlier.get(key, z)
        if 0 < z - before < CONSTANT and np.array_equal(voxels[before], plane):
            kinds[z] = z - before
        earlier[key] = z
    left_out = int(np.count_nonzero(kinds)) * voxels[0].size
    if left_out == 0 or left_out < _VOXELS_PER_BYTE * len(kinds):
        return None
    return SliceTable(kinds, np.array(values, voxels.dtype))


def pack(table: SliceTable) -> bytes:
    """Encodes a table: a byte for each slice, then the values of the constant ones."""
    values = table.values.astype(table.values.dtype.newbyteorder("<"))
    return table.kinds.tobytes() + values.tobytes()


def unpack(data: bytes, depth: int, dtype: np.dtype) -> tuple[SliceTable, int]:
    """Decodes the table of `depth` slices at the start of `data`.

    Returns:
      The table and the number of its bytes.

    Raises:
      FormatError: the bytes end early, or a slice repeats one before the first.
    """
    kinds = np.frombuffer(data[:depth], np.uint8)
    count = int(np.count_nonzero(kinds == CONSTANT))
    end = depth + count * dtype.itemsize
    if len(kinds) < depth or len(data) < end:
        raise FormatError(f"Got {len(data)} bytes of slice table, expected at least {end}.")
    if np.any((kinds != CONSTANT) & (kinds > np.arange(depth))):
        raise FormatError("Got a slice that repeats one before the first, expected an earlier one.")
    values = np.frombuffer(data[depth:end], dtype.newbyteorder("<")).astype(dtype)
    return SliceTable(kinds, values), end


def restored(voxels: np.ndarray, table: SliceTable) -> np.ndarray:
    """All slices, from the coded ones.

    Args:
      voxels: [coded slice, y, x].
      table: of the block.
    """
    whole = np.empty((len(table.kinds), *voxels.shape[1:]), voxels.dtype)
    whole[table.coded] = voxels
    values = iter(table.values)
    for z, kind in enumerate(table.kinds.tolist()):
        if kind == CONSTANT:
            whole[z] = next(values)
        elif kind != CODED:
            whole[z] = whole[z - kind]
    return whole
