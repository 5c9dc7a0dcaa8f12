"""Level tables of 16-bit voxels: the grey levels in the alphabet of each slice.

As `levels`, but with tables of up to 65536 levels. A table is the ascending array of its levels. As
bytes it is a start, a step, and runs of multiples of the step:

    start, step | number of runs | length of the first run | gap, length | gap, length | ...

So a table takes few bytes where all levels of a range are used, where all are multiples of a number
(12-bit voxels in the upper bits), and where a few levels lie far from the others (saturation).
"""

from __future__ import annotations

import struct

import numpy as np

from jaxslice.core.errors import FormatError
from jaxslice.core.types import Volume

Tables = list[np.ndarray]
"""Ascending levels of each slice, uint16."""

PER_BLOCK, PER_SLICE = 0, 1
"""Kinds of tables: one for the block, or one for each slice."""

LEVEL_LIMIT = 1 << 16
_HEADER = struct.Struct("<HH")
_LEAST_GAIN = 0.01
"""Bits per voxel that a table with more runs, or a table for each slice, must save. It changes the
distances between symbols, which makes predictions worse."""

_PROBED = 8
"""Slices that are looked at first, to see if tables for each slice could pay."""

_OFTEN = 8
"""A gap between two levels that occur this often is no chance. One beside a rare level may be."""

_RUN_BYTES = 2

_LEAST_CUT = 4
"""A gap is cut out at once if it is this many times as long as all that is used."""


def choose(voxels: Volume) -> Tables:
    """Chooses the tables with the smallest estimated size of the encoded voxels.

    Args:
      voxels: uint16 [z, y, x], not empty.

    Returns:
      A table for each slice. It includes all levels that occur in the slice.
    """
    total = np.zeros(LEVEL_LIMIT, np.int64)
    for plane in voxels:
        total += _histogram(plane)
    shared = _best(total, voxels.size)
    if len(voxels) == 1 or _own_saves(voxels[:: max(len(voxels) // _PROBED, 1)], shared) <= 0:
        return [shared] * len(voxels)
    own = [_best(_histogram(plane), plane.size) for plane in voxels]
    return own if _own_saves(voxels, shared) > 0 else [shared] * len(voxels)


def _histogram(plane: np.ndarray) -> np.ndarray:
    return np.bincount(plane.ravel(), minlength=LEVEL_LIMIT)


def _own_saves(voxels: Volume, shared: np.ndarray) -> float:
    """Estimated bits that tables of their own save these slices, beyond what they must save."""
    saved = -_LEAST_GAIN * voxels.size
    for plane in voxels:
        counts = _histogram(plane)
        own = _best(counts, plane.size)
        saved += _gap_bits(counts, own) - _gap_bits(counts, shared) - 8 * len(_pack_table(own))
    return saved


def _best(counts: np.ndarray, voxels: int) -> np.ndarray:
    """The table that is best for a histogram: with gaps that are no chance, or without them."""
    levels = np.flatnonzero(counts)
    step = _step_of(levels)
    places = (levels - levels[0]) // step
    gaps = np.diff(places)
    far = gaps > _LEAST_CUT * places.size
    often = counts[levels] >= _OFTEN
    clear = far | ((gaps > 1) & often[1:] & often[:-1])
    without, with_gaps = (levels[0] + step * _filled(places, cut) for cut in (far, clear))
    if clear.sum() > far.sum():
        saved = _gap_bits(counts, with_gaps) - _gap_bits(counts, without)
        if saved > _LEAST_GAIN * voxels + 8 * _RUN_BYTES * int(clear.sum()):
            return with_gaps.astype(np.uint16)
    return without.astype(np.uint16)


def _step_of(levels: np.ndarray) -> int:
    """The largest number whose multiples all distances are; 1 for a single level."""
    return int(np.gcd.reduce(np.diff(levels))) or 1 if levels.size > 1 else 1


def _filled(places: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """All places from the first to the last, without the gaps that are cut out."""
    edges = np.zeros(places[-1] + 1, np.int32)
    edges[places[:-1][cut] + 1] += 1
    edges[places[1:][cut]] -= 1
    return np.flatnonzero(np.cumsum(edges) == 0)


def _gap_bits(counts: np.ndarray, levels: np.ndarray) -> float:
    """Estimated bits saved by a table, for a smooth density that is spread over other levels."""
    if levels.size < 2:
        return 0.0
    gaps = np.diff(levels.astype(np.int64))
    widths = np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])
    wide = np.flatnonzero(widths != 2)  # few: the others save nothing
    return float((counts[levels[wide]] * np.log2(widths[wide] / 2)).sum())


def pack(tables: Tables) -> bytes:
    """Encodes tables as bytes: the kind, then the table of the block or those of all slices."""
    if all(np.array_equal(table, tables[0]) for table in tables):
        return bytes([PER_BLOCK]) + _pack_table(tables[0])
    return bytes([PER_SLICE]) + b"".join(map(_pack_table, tables))


def _pack_table(table: np.ndarray) -> bytes:
    levels = table.astype(np.int64)
    gaps = np.diff(levels)
    step = _step_of(levels)
    starts = np.flatnonzero(gaps > step) + 1
    lengths = np.diff(np.concatenate([[0], starts, [levels.size]])).tolist()
    skipped = (gaps[starts - 1] // step - 1).tolist()
    numbers = [len(lengths), lengths[0]]
    for gap, length in zip(skipped, lengths[1:], strict=True):
        numbers += [gap, length]
    return _HEADER.pack(int(levels[0]), step) + b"".join(map(_pack_number, numbers))


def _pack_number(value: int) -> bytes:
    """7 bits to a byte, the lowest first; the upper bit says that more follow."""
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


def unpack(data: bytes, depth: int) -> tuple[Tables, int]:
    """Decodes the tables of `depth` slices at the start of `data`.

    Returns:
      The tables, and the number of bytes that they take.

    Raises:
      FormatError: the bytes end early, the kind is unknown, or a table is not one.
    """
    kind = data[0] if data else None
    if kind not in (PER_BLOCK, PER_SLICE):
        raise FormatError(f"Got a level table of kind {kind}, expected 0 or 1.")
    tables, end = [], 1
    for _ in range(depth if kind == PER_SLICE else 1):
        table, end = _unpack_table(data, end)
        tables.append(table)
    return (tables if kind == PER_SLICE else tables * depth), end


def _unpack_table(data: bytes, begin: int) -> tuple[np.ndarray, int]:
    if len(data) < begin + _HEADER.size:
        raise FormatError(f"Got {len(data)} bytes with a level table, expected more: truncated?")
    start, step = _HEADER.unpack_from(data, begin)
    runs, end = _unpack_number(data, begin + _HEADER.size)
    if runs == 0 or step == 0:
        raise FormatError(f"Got a level table of {runs} runs with a step of {step}.")
    place, parts, gap = 0, [], 0
    for run in range(runs):
        if run:
            gap, end = _unpack_number(data, end)
            place += gap
        length, end = _unpack_number(data, end)
        if length == 0 or (run and gap == 0) or start + step * (place + length - 1) >= LEVEL_LIMIT:
            raise FormatError(f"Got a level table whose run {run} is empty or too long.")
        parts.append(np.arange(place, place + length))
        place += length
    return (start + step * np.concatenate(parts)).astype(np.uint16), end


def _unpack_number(data: bytes, begin: int) -> tuple[int, int]:
    """A number of at most three bytes, and where it ends."""
    value = 0
    for place in range(3):
        if begin + place >= len(data):
            raise FormatError(f"Got {len(data)} bytes with a level table, expected more.")
        value |= (data[begin + place] & 127) << (7 * place)
        if data[begin + place] < 128:
            return value, begin + place + 1
    raise FormatError("Got a number of more than three bytes in a level table.")


def symbols_of(voxels: Volume, tables: Tables) -> np.ndarray:
    """Converts levels to symbols.

    Args:
      voxels: uint16 [z, y, x], whose levels are in their slices' tables.
      tables: of the slices.

    Returns:
      uint16 [z, y, x], below the alphabet size of the slice.
    """
    symbols = np.empty(voxels.shape, np.uint16)
    index, last = np.zeros(LEVEL_LIMIT, np.uint16), None
    for z, table in enumerate(tables):
        if _is_range(table):
            np.subtract(voxels[z], table[0], out=symbols[z])
            continue
        if table is not last:
            index[table] = np.arange(table.size)
            last = table
        np.take(index, voxels[z], out=symbols[z], mode="clip")
    return symbols


def voxels_of(symbols: np.ndarray, tables: Tables) -> Volume:
    """The inverse of `symbols_of`. Symbols must be below the alphabet size of their slice."""
    voxels = np.empty(symbols.shape, np.uint16)
    for z, table in enumerate(tables):
        if _is_range(table):
            np.add(symbols[z], table[0], out=voxels[z], casting="unsafe")
        else:
            np.take(table, symbols[z], out=voxels[z], mode="clip")
    return voxels


def _is_range(table: np.ndarray) -> bool:
    """Whether a table holds all levels from its first to its last."""
    return int(table[-1]) - int(table[0]) + 1 == table.size


def sizes(tables: Tables) -> np.ndarray:
    """Alphabet size of each slice, int32 [z]."""
    return np.array([table.size for table in tables], np.int32)
