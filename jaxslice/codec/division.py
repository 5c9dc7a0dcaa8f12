"""Exact integer division by float division, which vector units support, and a correction."""

import jax
import jax.numpy as jnp


def quotient_of(dividend: jax.Array, divisor: jax.Array) -> jax.Array:
    """Exact `dividend // divisor` of 64-bit integers, for quotients below 2**40.

    Divides in float32, with a relative error of about 1e-6 on any device, and then divides the
    remainder in the same way. The floored quotient is then wrong by at most 1 in either direction,
    and the sign and size of the last remainder give the correction.

    Args:
      dividend: signed integers [...], at least 0.
      divisor: integers of the same shape and dtype, at least 1.

    Returns:
      Integers of the same shape and dtype.
    """
    quotient, rest = jnp.zeros_like(dividend), dividend
    for _ in range(2):
        part = jnp.floor(rest.astype(jnp.float32) / divisor.astype(jnp.float32))
        part = part.astype(dividend.dtype)
        quotient, rest = quotient + part, rest - part * divisor
    too_small, too_large = rest >= divisor, rest < 0
    return quotient + too_small.astype(dividend.dtype) - too_large.astype(dividend.dtype)
