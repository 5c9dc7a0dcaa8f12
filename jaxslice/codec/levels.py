"""Level tables: the grey levels in the alphabet of each slice.

The network and the coder work on symbols. A symbol is the index of a level in its slice's table. In
a slice whose contrast was stretched, many levels between the used ones do not occur. Symbols skip
them, so that no probability is spent on levels that do not occur.
"""

import numpy as np

from jaxslice.codec.architecture import SYMBOL_LIMIT
from jaxslice.core.errors import FormatError
from jaxslice.core.types import Volume
from jaxslice.native import library

ALL, PER_BLOCK, PER_SLICE = 0, 1, 2
"""Kinds of tables: all 256 levels, one set of levels for the block, one set for each slice."""

_BITMAP_BYTES = SYMBOL_LIMIT // 8
_LEAST_GAIN = 0.01
"""Bits per voxel that tables per slice must save compared with one per block. The same level then
has different symbols in different slices, which makes predictions from other slices worse."""


def choose(voxels: Volume) -> np.ndarray:
    """Chooses the tables with the smallest estimated size of the encoded voxels.

    Args:
      voxels: uint8 [z, y, x], not empty.

    Returns:
      bool [z, 256], True for the levels in each slice's alphabet. These include all levels that
      occur in the slice.
    """
    counts = _counts(voxels)
    used = counts > 0
    union = np.broadcast_to(used.any(axis=0), used.shape)
    everything = np.ones_like(used)
    by_block = _saved_bits(counts.sum(axis=0)[np.newaxis], union[:1]) - 8 * _BITMAP_BYTES
    by_slice = _saved_bits(counts, used) - 8 * _BITMAP_BYTES - union.sum()
    if by_slice > max(by_block, 0) + _LEAST_GAIN * voxels.size:
        return used
    return union if by_block > 0 else everything


def _counts(voxels: Volume) -> np.ndarray:
    """How often each level occurs in each slice, int64 [z, 256]."""
    if library.instruction_sets():
        return library.count_levels(voxels)
    return np.stack([np.bincount(s.ravel(), minlength=SYMBOL_LIMIT) for s in voxels])


def _saved_bits(counts: np.ndarray, used: np.ndarray) -> float:
    """Estimated bits saved by tables, for a smooth density that is spread over unused levels.

    Args:
      counts: int [z, 256], occurrences of each level in each slice.
      used: bool [z, 256], the tables.
    """
    below, above = _neighbours(used), SYMBOL_LIMIT - 1 - _neighbours(used[:, ::-1])[:, ::-1]
    levels = np.arange(SYMBOL_LIMIT)
    has_below, has_above = used & (below >= 0), used & (above < SYMBOL_LIMIT)
    down = np.where(has_below, levels - below, above - levels)
    up = np.where(has_above, above - levels, down)
    widths = np.where(has_below | has_above, down + up, 2) / 2
    return float((counts * np.log2(widths)).sum())


def _neighbours(used: np.ndarray) -> np.ndarray:
    """The next used level below each level, int [z, 256]; -1 where there is none."""
    at = np.maximum.accumulate(np.where(used, np.arange(SYMBOL_LIMIT), -1), axis=1)
    return np.pad(at[:, :-1], ((0, 0), (1, 0)), constant_values=-1)


def pack(tables: np.ndarray) -> bytes:
    """Encodes tables (bool [z, 256]) as bytes.

    The first byte is the kind. For PER_BLOCK and PER_SLICE it is followed by a bitmap of 32 bytes
    with the union of all slices' levels, most significant bit first. For PER_SLICE this is followed
    by one bitmap with the tables of all slices, restricted to the levels in the union and padded
    with zeros to whole bytes.
    """
    union = tables.any(axis=0)
    if np.all(tables == union):
        if union.all():
            return bytes([ALL])
        return bytes([PER_BLOCK]) + np.packbits(union).tobytes()
    chosen = np.packbits(tables[:, union].ravel())
    return bytes([PER_SLICE]) + np.packbits(union).tobytes() + chosen.tobytes()


def unpack(data: bytes, depth: int) -> tuple[np.ndarray, int]:
    """Decodes the tables of `depth` slices at the start of `data`.

    Returns:
      The tables, bool [depth, 256], and the number of bytes that they take.

    Raises:
      FormatError: the bytes end early, the kind is unknown, or a slice has no level.
    """
    kind = data[0] if data else None
    if kind == ALL:
        return np.ones((depth, SYMBOL_LIMIT), bool), 1
    if kind not in (PER_BLOCK, PER_SLICE):
        raise FormatError(f"Got a level table of kind {kind}, expected 0, 1 or 2.")
    end = 1 + _BITMAP_BYTES
    union = _bits(data[1:end], SYMBOL_LIMIT)
    if kind == PER_BLOCK:
        tables = np.broadcast_to(union, (depth, SYMBOL_LIMIT))
    else:
        size = int(union.sum()) * depth
        chosen = _bits(data[end : end + -(-size // 8)], size)
        end += -(-size // 8)
        tables = np.zeros((depth, SYMBOL_LIMIT), bool)
        tables[:, union] = chosen.reshape(depth, -1)
    if not tables.any(axis=1).all():
        raise FormatError("Got a level table without levels, expected at least one per slice.")
    return tables, end


def _bits(data: bytes, count: int) -> np.ndarray:
    if len(data) != -(-count // 8):
        raise FormatError(f"Got {len(data)} bytes of level table, expected {-(-count // 8)}.")
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(bool)
    if bits[count:].any():
        raise FormatError("Got a level table whose fill bits are not all 0.")
    return bits[:count]


def symbols_of(voxels: Volume, tables: np.ndarray) -> np.ndarray:
    """Converts levels to symbols.

    Args:
      voxels: uint8 [z, y, x], whose levels are in their slices' tables.
      tables: bool [z, 256].

    Returns:
      uint8 [z, y, x], below the alphabet size of the slice. The voxels themselves where all levels
      are in the tables.
    """
    if tables.all():
        return voxels
    return _looked_up((np.cumsum(tables, axis=1) - 1).clip(0).astype(np.uint8), voxels)


def voxels_of(symbols: np.ndarray, tables: np.ndarray) -> Volume:
    """The inverse of `symbols_of`. Symbols must be below the alphabet size of their slice."""
    if tables.all():
        return symbols.astype(np.uint8, copy=False)
    levels = np.zeros(tables.shape, np.uint8)
    for row, table in zip(levels, tables, strict=True):
        used = np.flatnonzero(table)
        row[: used.size] = used
    return _looked_up(levels, symbols.astype(np.uint8, copy=False))


def _looked_up(rows: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Replaces the values of each plane, uint8, by the elements of its row, uint8 [z, 256]."""
    if library.instruction_sets():
        return library.look_up_levels(planes, rows)
    return np.stack([row[plane] for row, plane in zip(rows, planes, strict=True)])


def sizes(tables: np.ndarray) -> np.ndarray:
    """Alphabet size of each slice, int32 [z]."""
    return tables.sum(axis=1, dtype=np.int32)
