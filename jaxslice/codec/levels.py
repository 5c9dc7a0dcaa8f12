"""Level tables: which of the 256 grey levels an alphabet really uses.

The coder and the network work on symbols, the index of a level in its slice's table. A slice whose
contrast was stretched after it was recorded uses only some levels, with gaps between them; on
symbols the gaps are gone, and with them bits that a density over grey levels would waste.
"""

from collections.abc import Iterable

import numpy as np

from jaxslice.codec.architecture import SYMBOL_LIMIT
from jaxslice.core.errors import FormatError
from jaxslice.core.types import Volume

ALL, PER_BLOCK, PER_SLICE = 0, 1, 2
"""Kinds of table: all 256 levels, one set for the block, one set for each slice."""

_BITMAP_BYTES = SYMBOL_LIMIT // 8
_LEAST_GAIN = 0.01
"""Bits per voxel that tables per slice must gain beyond one per block: they shift symbols against
each other between slices, which the network pays for."""


def choose(voxels: Volume) -> np.ndarray:
    """The tables that should make `voxels` smallest.

    Returns:
      bool [z, 256], True for the levels of each slice's alphabet (a superset of those it uses).
    """
    counts = np.stack([np.bincount(s.ravel(), minlength=SYMBOL_LIMIT) for s in voxels])
    used = counts > 0
    union = np.broadcast_to(used.any(axis=0), used.shape)
    everything = np.ones_like(used)
    by_block = _saved_bits(counts, union) - 8 * _BITMAP_BYTES
    by_slice = _saved_bits(counts, used) - 8 * _BITMAP_BYTES - union.sum()
    if by_slice > max(by_block, 0) + _LEAST_GAIN * voxels.size:
        return used
    return union if by_block > 0 else everything


def _saved_bits(counts: np.ndarray, used: np.ndarray) -> float:
    """Bits that a smooth density saves when each level owns the gap up to the next used one."""
    total = 0.0
    for row, table in zip(counts, used, strict=True):
        levels = np.flatnonzero(table)
        if levels.size > 1:
            gaps = np.diff(levels)
            widths = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
            total += float(row[levels] @ np.log2(widths))
    return total


def pack(tables: np.ndarray) -> bytes:
    """Tables as bytes: a byte for the kind; for the other two kinds the union of all slices as a
    bitmap of 32 bytes, most significant bit first; for PER_SLICE then the tables of all slices as
    one bitmap over the levels of that union, filled up with zeros to whole bytes.
    """
    union = tables.any(axis=0)
    if np.all(tables == union):
        if union.all():
            return bytes([ALL])
        return bytes([PER_BLOCK]) + np.packbits(union).tobytes()
    chosen = np.packbits(tables[:, union].ravel())
    return bytes([PER_SLICE]) + np.packbits(union).tobytes() + chosen.tobytes()


def unpack(data: bytes, depth: int) -> tuple[np.ndarray, int]:
    """The tables of `depth` slices at the start of `data`, and how many bytes they took.

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
    """Each voxel's symbol: int16 [z, y, x]. Every voxel's level must be in its slice's table."""
    if tables.all():
        return voxels.astype(np.int16)
    index = np.cumsum(tables, axis=1, dtype=np.int16) - np.int16(1)
    return _looked_up(index, voxels)


def voxels_of(symbols: np.ndarray, tables: np.ndarray) -> Volume:
    """The inverse of `symbols_of`; symbols must be below their slice's alphabet size."""
    if tables.all():
        return symbols.astype(np.uint8)
    return _looked_up([np.flatnonzero(table).astype(np.uint8) for table in tables], symbols)


def _looked_up(rows: Iterable[np.ndarray], planes: np.ndarray) -> np.ndarray:
    """Each plane's values replaced by those of its row. They must be within it: "clip", which is
    twice as fast as checking, would hide it.
    """
    pairs = zip(rows, planes, strict=True)
    return np.stack([np.take(row, plane, mode="clip") for row, plane in pairs])


def sizes(tables: np.ndarray) -> np.ndarray:
    """Symbols in each slice's alphabet, int32 [z]."""
    return tables.sum(axis=1, dtype=np.int32)
