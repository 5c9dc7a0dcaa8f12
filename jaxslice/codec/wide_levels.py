"""Level tables of 16-bit voxels: the grey levels in the alphabet of each slice.

As `levels`, but with tables of up to 65536 levels. A table is the ascending array of its levels. As
bytes it is a start, a step, and runs of multiples of the step:

    start, step | number of runs | length of the first run | gap, length | gap, length | ...

So a table takes few bytes where all levels of a range are used, where all are multiples of a number
(12-bit voxels in the upper bits), and where a few levels lie far from the others (saturation).
"""

from __future__ import annotations

import math
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

_LEAST_CUT = 4
"""A gap is cut out at once if it is this many times as long as all that is used."""


def choose(voxels: Volume) -> Tables:
    """Chooses the tables with the smallest estimated size of the encoded voxels.

    Args:
      voxels: uint16 [z, y, x], not empty.

    Returns:
      A table for each slice. It includes all levels that occur in the slice.
    """
    counts = [np.bincount(plane.ravel(), minlength=LEVEL_LIMIT) for plane in voxels]
    total = np.sum(counts, axis=0)
    shared = _best_of([total], voxels.size)[0]
    own = _best_of(counts, voxels.size)
    size = sum(len(_pack_table(table)) for table in own) - len(_pack_table(shared))
    saved = sum(
        _gap_bits(row, table) - _gap_bits(row, shared)
        for row, table in zip(counts, own, strict=True)
    )
    if saved - 8 * size > _LEAST_GAIN * voxels.size:
        return own
    return [shared] * len(voxels)


def _best_of(counts: list[np.ndarray], voxels: int) -> Tables:
    """The best table for each histogram, int [65536]."""
    least = _LEAST_GAIN * voxels / len(counts)
    return [_best(row, least) for row in counts]


def _best(counts: np.ndarray, least: float) -> np.ndarray:
    """The table that is best for a histogram: the least one, or one with short gaps filled up."""
    levels = np.flatnonzero(counts)
    step = math.gcd(*np.diff(levels).tolist()) or 1
    places = (levels - levels[0]) // step
    filled = levels[0] + step * _filled(places)
    saved = _gap_bits(counts, levels) - _gap_bits(counts, filled)
    size = len(_pack_table(levels)) - len(_pack_table(filled))
    return (levels if saved - 8 * size > least else filled).astype(np.uint16)


def _filled(places: np.ndarray) -> np.ndarray:
    """All places from the first to the last, without gaps much longer than all that is used."""
    longest = _LEAST_CUT * len(places)
    cuts = np.flatnonzero(np.diff(places) > longest) + 1
    runs = np.split(places, cuts)
    return np.concatenate([np.arange(run[0], run[-1] + 1) for run in runs])


def _gap_bits(counts: np.ndarray, levels: np.ndarray) -> float:
    """Estimated bits saved by a table, for a smooth density that is spread over other levels."""
    if levels.size < 2:
        return 0.0
    gaps = np.diff(levels.astype(np.int64))
    widths = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
    return float(counts[levels] @ np.log2(widths))


def pack(tables: Tables) -> bytes:
    """Encodes tables as bytes: the kind, then the table of the block or those of all slices."""
    if all(np.array_equal(table, tables[0]) for table in tables):
        return bytes([PER_BLOCK]) + _pack_table(tables[0])
    return bytes([PER_SLICE]) + b"".join(map(_pack_table, tables))


def _pack_table(table: np.ndarray) -> bytes:
    levels = table.astype(np.int64)
    gaps = np.diff(levels)
    step = math.gcd(*gaps.tolist()) or 1
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
    place, parts = 0, []
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
      int32 [z, y, x], within [0, alphabet size of the slice).
    """
    symbols = np.empty(voxels.shape, np.int32)
    index, last = np.zeros(LEVEL_LIMIT, np.int32), None
    for z, table in enumerate(tables):
        if table is not last:
            index[table] = np.arange(table.size, dtype=np.int32)
            last = table
        np.take(index, voxels[z], out=symbols[z], mode="clip")
    return symbols


def voxels_of(symbols: np.ndarray, tables: Tables) -> Volume:
    """The inverse of `symbols_of`. Symbols must be below the alphabet size of their slice."""
    voxels = np.empty(symbols.shape, np.uint16)
    for z, table in enumerate(tables):
        np.take(table, symbols[z], out=voxels[z], mode="clip")
    return voxels


def sizes(tables: Tables) -> np.ndarray:
    """Alphabet size of each slice, int32 [z]."""
    return np.array([table.size for table in tables], np.int32)
