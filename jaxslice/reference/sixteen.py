"""The section "16 bits" of FORMAT.md: level tables, inputs and bins of 16-bit voxels."""

import struct

import numpy as np

from jaxslice.reference.checks import require
from jaxslice.reference.intervals import find_symbol, mass_below, pop
from jaxslice.reference.prediction import Predictor, evaluate, reference_of


def read_wide_levels(body: bytes, num_slices: int) -> tuple[list[np.ndarray], bytes]:
    """The ascending levels of each slice, and the bytes after the level tables."""
    kind, body = body[:1], body[1:]
    require(kind in (b"\0", b"\1"), f"Got level tables of the kind {kind!r}.")
    if kind == b"\0":
        table, body = _read_table(body)
        return [table] * num_slices, body
    tables = []
    for _ in range(num_slices):
        table, body = _read_table(body)
        tables.append(table)
    return tables, body


def _read_table(body: bytes) -> tuple[np.ndarray, bytes]:
    require(len(body) >= 4, "Got a level table that is too short.")
    start, step = struct.unpack_from("<HH", body)
    runs, body = _read_number(body[4:])
    require(runs > 0 and step > 0, f"Got a level table of {runs} runs with a step of {step}.")
    levels, place = [], 0
    for run in range(runs):
        gap, body = _read_number(body) if run else (0, body)
        length, body = _read_number(body)
        place += gap
        last = start + step * (place + length - 1)
        require(length > 0 and (gap > 0 or run == 0) and last < 2**16, f"Got a bad run {run}.")
        levels.append(start + step * np.arange(place, place + length))
        place += length
    return np.concatenate(levels), body


def _read_number(body: bytes) -> tuple[int, bytes]:
    """A number of at most three bytes, 7 bits in each, the lowest first."""
    value = 0
    for place in range(3):
        require(len(body) > place, "Got a level table that is too short.")
        value |= (body[place] & 127) << (7 * place)
        if body[place] < 128:
            return value, body[place + 1 :]
    require(False, "Got a number of more than three bytes in a level table.")
    raise AssertionError


def decode_wide(
    states: np.ndarray, counts: np.ndarray, context: np.ndarray, predictor: Predictor
) -> tuple[np.ndarray, np.ndarray]:
    """Symbols of some voxels, and the states of their lanes before words are taken.

    Args:
      states: [voxel], of the lanes.
      counts: [voxel], levels of the slice.
      context: symbols [voxel, context], -1 outside.
      predictor: the network.
    """
    bits = _bit_length(counts - 1)
    reference, shift, mixture = _predict(context, counts, bits, predictor)
    low_bits = np.clip(shift - 1, 0, bits)
    k = bits - low_bits
    loss, width_bits = np.minimum(10, 24 - k), np.maximum(14 - k, 0)

    def cumulative(i, n, mean, inverse, weight) -> np.ndarray:
        edge = np.clip((16 * ((i << low_bits) - reference) - 8) >> shift, -6144, 6143)
        f = mass_below(edge[:, None], mean, inverse, weight)
        return np.select([i == 0, i == n], [0, 2**24], f - (f >> loss) + (i << width_bits))

    low, states = states & ((1 << low_bits) - 1), states >> low_bits
    num_bins = ((counts - 1) >> low_bits) + 1
    bins, start, freq = find_symbol(states & (2**24 - 1), num_bins, mixture, cumulative)
    symbol = np.minimum(bins << low_bits | low, counts - 1)
    return symbol, pop(states, start, freq)


def _bit_length(values: np.ndarray) -> np.ndarray:
    return np.sum([values >= 1 << bit for bit in range(21)], axis=0)


def _predict(v: np.ndarray, counts: np.ndarray, bits: np.ndarray, predictor: Predictor):
    """Reference and shift [voxel], and the mixture: mean, inverse and weight."""
    reference = reference_of(v, predictor.fallback, counts >> 1)[:, None]
    near = v[:, : predictor.activity_count]
    total = np.where(near < 0, 0, abs(near - reference)).sum(1, keepdims=True)
    s = np.minimum(_bit_length(total >> 8), 8)
    reference = reference >> s << s
    difference = np.clip((v - reference + (1 << s >> 1)) >> s, -128, 127)
    difference = np.where(v < 0, 0, difference)
    offset = predictor.activity_offset
    activity = total >> s
    activity = np.minimum(activity + np.where(s > 0, activity * offset >> 8, offset), 4096)
    beyond = np.maximum(bits - 8, 0)[:, None]
    tone = (reference >> beyond) - 128
    moved, *others = evaluate(difference, activity, tone, 16 * (s - beyond), predictor)
    return reference[:, 0], s[:, 0], (np.clip(moved, -2048, 2047), *others)
