"""Coding of the difference between two networks, as FORMAT.md, section 7, defines it.

Block networks are coded as differences to the archive's network, and the archive's network as the
difference to a network of zeros.

    one record for each tensor | message of one lane
    255, or q1 q2 w            | the values of the tensors whose record is not 255

A tensor is a layer's weights or its biases. Its values are coded like symbols, with a mixture of
two components around zero: one for the many values near zero, and a wider one for the others. The
record holds the scale codes of both components and the weight of the first.
"""

import bisect
import functools
from typing import TypeAlias

import numpy as np

from jaxslice.codec.architecture import SYMBOL_LIMIT, Architecture
from jaxslice.codec.curve import (
    CURVE_TOTAL,
    DISTANCE_HIGH,
    LOSS_SHIFT,
    MINIMUM_WIDTH,
    PRECISION,
    TAIL_LINEAR,
    TAIL_SQUARE,
    WEIGHT_TOTAL,
)
from jaxslice.codec.message import LOWER_BOUND, flatten, unflatten
from jaxslice.codec.network import BIAS_HIGH, WEIGHT_HIGH, IntegerNetwork, prove
from jaxslice.core.errors import FormatError
from jaxslice.core.types import Words

BIAS_UNIT = 1 << 6
"""Change of a bias for a value of 1. A weight changes by 1."""

VALUE_LOW, VALUE_HIGH = -128, 127
_ZEROS = 255
"""The record of a tensor whose values are all 0."""

_NUM_SCALES = 128
_Record: TypeAlias = tuple[int, int, int]
"""(q1, q2, w): two scale codes below 128, and the weight of the first out of 256, below 256."""


def encode(
    base: IntegerNetwork,
    own: IntegerNetwork,
    architecture: Architecture,
    bias_unit: int = BIAS_UNIT,
) -> tuple[bytes, IntegerNetwork]:
    """Encodes the difference between two networks, rounded to what the format can represent.

    Args:
      base: the archive's network.
      own: the block network.
      architecture: architecture of both.
      bias_unit: change of a bias for a value of 1.

    Returns:
      Bytes for `decode`, and the network that it decodes from them: `own` with biases rounded to
      multiples of the unit from `base`, and with values clipped to -128..127. Blocks must be
      encoded with this network.

    Raises:
      FormatError: one of the networks does not fit the architecture, or could overflow.
    """
    prove(base, architecture)
    prove(own, architecture)
    values = [
        _representable(np.asarray(before, np.int64), np.asarray(after, np.int64), bias_unit)
        for before, after in zip(_tensors_of(base), _tensors_of(own), strict=True)
    ]
    records, starts, freqs = b"", [], []
    for value in values:
        if not value.any():
            records += bytes([_ZEROS])
            continue
        symbols = value.ravel() - VALUE_LOW
        record = _best_record(np.bincount(symbols, minlength=SYMBOL_LIMIT))
        cumulative = _cumulative(record)
        starts.append(cumulative[symbols])
        freqs.append(np.diff(cumulative)[symbols])
        records += bytes(record)
    return records + _push_all(starts, freqs), _changed(base, values, architecture, bias_unit)


def decode(
    data: bytes, base: IntegerNetwork, architecture: Architecture, bias_unit: int = BIAS_UNIT
) -> IntegerNetwork:
    """Decodes the network from the bytes of `encode`.

    Args:
      data: bytes of the difference.
      base: the archive's network.
      architecture: architecture of both.
      bias_unit: the unit that was used for encoding.

    Raises:
      FormatError: the bytes are damaged or of another architecture, or the network could overflow.
    """
    tensors = _tensors_of(base)
    records = []
    for _ in tensors:
        record, data = _split_record(data)
        records.append(record)
    if len(data) % 4:
        raise FormatError(f"Got a difference's message of {len(data)} bytes, expected whole words.")
    sizes = [
        0 if record is None else np.size(t) for record, t in zip(records, tensors, strict=True)
    ]
    symbols = _pop_all(np.frombuffer(data, "<u4").astype(np.uint32), records, sizes)
    values = [
        np.reshape(of_tensor, np.shape(tensor)) + VALUE_LOW if of_tensor else np.zeros_like(tensor)
        for of_tensor, tensor in zip(symbols, tensors, strict=True)
    ]
    return _changed(base, values, architecture, bias_unit)


def _tensors_of(network: IntegerNetwork) -> list[np.ndarray]:
    """The tensors in coding order: weights, then biases, of each layer."""
    return [np.asarray(tensor) for layer in zip(*network, strict=True) for tensor in layer]


def _representable(before: np.ndarray, after: np.ndarray, bias_unit: int) -> np.ndarray:
    """The representable values nearest to the difference between two tensors, int64."""
    if before.ndim == 2:
        return np.clip(after - before, VALUE_LOW, VALUE_HIGH)
    values = np.rint((after - before) / bias_unit).astype(np.int64)
    # Rounding must not move a bias out of its range.
    low, high = -((BIAS_HIGH + before) // bias_unit), (BIAS_HIGH - before) // bias_unit
    return np.clip(values, np.maximum(low, VALUE_LOW), np.minimum(high, VALUE_HIGH))


def _changed(
    base: IntegerNetwork, values: list[np.ndarray], architecture: Architecture, bias_unit: int
) -> IntegerNetwork:
    """Adds the values to the base network. Raises FormatError if the result could overflow."""
    weights = [w + np.asarray(v, np.int64) for w, v in zip(base.weights, values[::2], strict=True)]
    biases = [
        b + bias_unit * np.asarray(v, np.int64)
        for b, v in zip(base.biases, values[1::2], strict=True)
    ]
    largest = max(int(np.abs(tensor).max()) for tensor in weights)
    if largest > WEIGHT_HIGH:
        raise FormatError(
            f"Got a difference that makes a weight {largest} in size, expected at most "
            f"{WEIGHT_HIGH}: damaged, or of another network."
        )
    prove(IntegerNetwork(tuple(weights), tuple(biases)), architecture)
    return IntegerNetwork(
        tuple(tensor.astype(np.int8) for tensor in weights),
        tuple(tensor.astype(np.int32) for tensor in biases),
    )


def _split_record(data: bytes) -> tuple[_Record | None, bytes]:
    """The record at the start of the bytes (None for zeros), and the bytes after it."""
    if data[:1] == bytes([_ZEROS]):
        return None, data[1:]
    if len(data) < 3:
        raise FormatError(f"Got a record of {len(data)} bytes in a difference, expected 3.")
    first, second, weight = data[:3]
    if max(first, second) >= _NUM_SCALES:
        raise FormatError(
            f"Got the scale codes {first} and {second} in a difference, expected 0 to "
            f"{_NUM_SCALES - 1}."
        )
    return (first, second, weight), data[3:]


@functools.cache
def _components() -> np.ndarray:
    """S of FORMAT.md, section 5, at the edges of all symbols, int64 [scale code, edge 0..256].

    The mean is symbol 128. The values at the first and last edge are 0 and 2**16, so that C is 0
    and 2**24 there.
    """
    code = np.arange(_NUM_SCALES)[:, None]
    inverse = ((16 + (code & 15)) << (code >> 4)) << 5
    distance = ((16 * (np.arange(SYMBOL_LIMIT + 1) + VALUE_LOW) - 8) * inverse) >> 10
    size = np.minimum(np.abs(distance), DISTANCE_HIGH)
    drop = ((TAIL_LINEAR + TAIL_SQUARE * size) * size) >> 10
    root = np.maximum(CURVE_TOTAL - 1 - drop, 0)
    for _ in range(3):
        root = (root * root) >> 16
    tail = root >> 1
    reached = np.where(distance < 0, tail, CURVE_TOTAL - tail)
    reached[:, 0], reached[:, -1] = 0, CURVE_TOTAL
    return reached


def _cumulative(record: _Record) -> np.ndarray:
    """C(0) to C(256) of FORMAT.md, section 5, int64."""
    first, second, weight = record
    components = _components()
    total = weight * components[first] + (WEIGHT_TOTAL - weight) * components[second]
    return total - (total >> LOSS_SHIFT) + np.arange(SYMBOL_LIMIT + 1) * MINIMUM_WIDTH


def _best_record(counts: np.ndarray) -> _Record:
    """The record with which symbols that occur `counts` times (int [256]) need the fewest bits.

    Searches a coarse grid of all three numbers, and then improves one number at a time until none
    can be improved.
    """
    used = np.flatnonzero(counts)
    shares = np.diff(_components())[:, used].astype(np.float64)

    def bits(first, second, weight) -> np.ndarray:
        """Bits of all symbols, apart from rounding; the arguments are broadcast."""
        weight = np.asarray(weight)[..., None]
        freq = weight * shares[first] + (WEIGHT_TOTAL - weight) * shares[second]
        return (PRECISION - np.log2(freq * (1 - 2.0**-LOSS_SHIFT) + MINIMUM_WIDTH)) @ counts[used]

    coarse = np.arange(0, _NUM_SCALES, 16)
    grid = np.ix_(coarse, coarse, np.arange(32, WEIGHT_TOTAL, 32))
    costs = bits(*grid)
    best = [
        int(axis.ravel()[at])
        for axis, at in zip(grid, np.unravel_index(np.argmin(costs), costs.shape), strict=True)
    ]
    least, bettered = float(costs.min()), True
    while bettered:
        bettered = False
        for axis, choices in enumerate((_NUM_SCALES, _NUM_SCALES, WEIGHT_TOTAL)):
            tried: list = [*best]
            tried[axis] = np.arange(choices)
            costs = bits(*tried)
            if costs.min() < least:
                least, bettered = float(costs.min()), True
                best[axis] = int(np.argmin(costs))
    return best[0], best[1], best[2]


def _push_all(starts: list[np.ndarray], freqs: list[np.ndarray]) -> bytes:
    """Encodes symbols with these intervals, tensor by tensor, as the bytes of a message."""
    pushed = [
        pair
        for start, freq in zip(starts, freqs, strict=True)
        for pair in zip(start.tolist(), freq.tolist(), strict=True)
    ]
    state, tail = LOWER_BOUND, []
    for start, freq in reversed(pushed):
        if state >= freq << (63 - PRECISION):
            tail.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // freq << PRECISION) + state % freq + start
    words = flatten(np.array([state], np.uint64), np.array(tail[::-1], np.uint32))
    return words.astype("<u4").tobytes()


def _pop_all(message: Words, records: list[_Record | None], sizes: list[int]) -> list[list[int]]:
    """Decodes the symbols of each tensor.

    Args:
      message: uint32 [word].
      records: the record of each tensor, None for zeros.
      sizes: number of symbols of each tensor, 0 where the record is None.
    """
    head, tail = unflatten(message, 1)
    state, words = int(head[0]), iter(tail.tolist())
    symbols: list[list[int]] = []
    for record, size in zip(records, sizes, strict=True):
        symbols.append([])
        cumulative = _cumulative(record).tolist() if record else []
        for _ in range(size):
            position = state & ((1 << PRECISION) - 1)
            symbol = bisect.bisect_right(cumulative, position) - 1
            start, end = cumulative[symbol], cumulative[symbol + 1]
            state = (end - start) * (state >> PRECISION) + position - start
            if state < LOWER_BOUND:
                word = next(words, None)
                if word is None:
                    raise FormatError(f"Got a difference of {message.size} words, expected more.")
                state = state << 32 | word
            symbols[-1].append(symbol)
    left = sum(1 for _ in words)
    if left or state != LOWER_BOUND:
        raise FormatError(
            f"Got a difference that leaves {left} of {tail.size} words and the state {state}, "
            f"expected none and {LOWER_BOUND}: damaged."
        )
    return symbols
