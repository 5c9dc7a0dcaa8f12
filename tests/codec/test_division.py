"""Integer quotients from floats: exact however the floats are rounded."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxslice.codec.division import quotient_of

COUNT = 1 << 16


def pairs(dividend_bits: int, quotient_bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Dividends and divisors over all magnitudes, among them multiples and their neighbours."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0, dividend_bits - quotient_bits, COUNT)
    divisor = np.maximum(np.exp2(size), 1).astype(np.int64)
    quotient = np.exp2(rng.uniform(0, quotient_bits, COUNT)).astype(np.int64) - 1
    rest = rng.choice([0, 1, 2], COUNT)
    rest = np.choose(rest, [np.zeros(COUNT), divisor - 1, rng.random(COUNT) * divisor])
    return quotient * divisor + np.minimum(rest.astype(np.int64), divisor - 1), divisor


@pytest.mark.parametrize("off", [-3e-7, 0.0, 3e-7])
@pytest.mark.parametrize(
    ("dtype", "dividend_bits", "quotient_bits"),
    [(np.int64, 63, 39), (np.int32, 24, 16), (np.int32, 20, 8)],
)
def test_quotients_are_exact_whatever_the_rounding(dtype, dividend_bits, quotient_bits, off):
    dividend, divisor = (part.astype(dtype) for part in pairs(dividend_bits, quotient_bits, 7))
    floor = jnp.floor
    # A device whose every division is off by some units in the last place.
    inexact = mock.patch.object(jnp, "floor", lambda value: floor(value * np.float32(1 + off)))
    with inexact, jax.enable_x64(True):
        got = np.asarray(quotient_of(jnp.asarray(dividend), jnp.asarray(divisor)))
    np.testing.assert_array_equal(got, dividend // divisor)
    assert got.dtype == dtype


def test_by_hand():
    with jax.enable_x64(True):
        dividend = jnp.asarray([0, 6, 7, (1 << 39) - 1, 28385322536690116], jnp.int64)
        divisor = jnp.asarray([1, 7, 7, 1, 75611], jnp.int64)
        assert quotient_of(dividend, divisor).tolist() == [
            0, 0, 1, (1 << 39) - 1, 375412605793,
        ]  # fmt: skip
