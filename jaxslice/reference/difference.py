"""Section 7 of FORMAT.md: a network that is coded as the difference to another one."""

import bisect
import itertools

import numpy as np

from jaxslice.reference.checks import require
from jaxslice.reference.intervals import cumulative
from jaxslice.reference.prediction import power


def safe(layers: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the layers. Raises FormatError if a sum could overflow."""
    for i, (weights, biases) in enumerate(layers):
        row_sums = abs(weights if i else weights[:, :-2]).sum(1)
        safe = row_sums.max() * 255 <= 2**23 and abs(weights).max() <= 127
        require(safe and abs(biases).max() < 2**22, "Got a network whose sums could overflow.")
    return layers


def read_difference(
    difference: bytes, base: list[tuple[np.ndarray, np.ndarray]], bias_unit: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Decodes the layers of a network from a base network and a difference (section 7)."""
    tensors = [tensor for layer in base for tensor in layer]
    records = []
    for _ in tensors:
        size = 1 if difference[:1] == b"\xff" else 3
        record, difference = difference[:size], difference[size:]
        good = len(record) == size and (size == 1 or max(record[:2]) <= 127)
        require(good, f"Got the record {record.hex()!r} in a difference.")
        records.append(record)
    size = len(difference)
    require(size % 4 == 0 and size >= 8, f"Got a difference's message of {size} bytes.")
    upper, lower, *tail = np.frombuffer(difference, "<u4").tolist()
    state = upper << 32 | lower
    require(2**31 <= state < 2**63, f"Got the state {state} in a difference.")
    words, own, units = iter(tail), [], itertools.cycle([1, bias_unit])
    for tensor, record, unit in zip(tensors, records, units, strict=False):
        values = []
        if len(record) == 3:
            q, w = np.array([*record[:2]]), record[2]
            mixture = np.array([2048, 2048]), 32 * power(q), np.array([w, 256 - w])
            table = cumulative(np.arange(257), 256, *mixture).tolist()
            while len(values) < tensor.size:
                position = state & (2**24 - 1)
                symbol = bisect.bisect_right(table, position) - 1
                start, end = table[symbol : symbol + 2]
                state = (end - start) * (state >> 24) + position - start
                if state < 2**31:
                    word = next(words, None)
                    require(word is not None, "Got a difference that is too short.")
                    state = state << 32 | word
                values.append(symbol - 128)
        own.append(tensor + unit * np.reshape(values or [0] * tensor.size, tensor.shape))
    ended = next(words, None) is None and state == 2**31
    require(ended, "Got a difference that does not end where its values do.")
    return safe(list(zip(own[::2], own[1::2], strict=True)))
