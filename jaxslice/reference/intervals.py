"""Section 5 of FORMAT.md: the intervals of symbols."""

import numpy as np


def cumulative(i, n, mean, inverse, weight) -> np.ndarray:
    """C(i) of section 5, for one i [voxel] at each voxel."""
    f = mass_below(16 * i[:, None] - 8, mean, inverse, weight)
    return np.select([i == 0, i == n], [0, 2**24], f - (f >> 10) + 64 * i)


def mass_below(edge, mean, inverse, weight) -> np.ndarray:
    """F of section 5, for one edge [voxel, 1] at each voxel."""
    q = ((edge - mean) * inverse) >> 10
    u = np.minimum(abs(q), 2047)
    p = np.maximum(65535 - (((26214 + 20 * u) * u) >> 10), 0)
    for _ in range(3):
        p = (p * p) >> 16
    tail = p >> 1
    return (weight * np.where(q < 0, tail, 65536 - tail)).sum(1)


def find_symbol(position, n, mixture, cumulative=cumulative) -> tuple[np.ndarray, ...]:
    """Finds symbol, start and freq [voxel] of the interval of each position, by bisection."""
    low, high = np.zeros_like(n), n
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = cumulative(middle, n, *mixture) <= position
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    start = cumulative(low, n, *mixture)
    return low, start, cumulative(high, n, *mixture) - start


def pop(states: np.ndarray, start: np.ndarray, freq: np.ndarray) -> np.ndarray:
    """The states after intervals are taken off, before words are taken."""
    return freq * (states >> 24) + (states & (2**24 - 1)) - start
