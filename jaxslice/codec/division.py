"""Integer division by way of floats, which vector units can divide, put right by the remainder."""

import jax
import jax.numpy as jnp


def quotient_of(dividend: jax.Array, divisor: jax.Array) -> jax.Array:
    """`dividend // divisor`, below 2**40, exactly: vector units do not divide 64-bit integers.

    Divides in float32, whose quotient is off by a millionth or so wherever it is computed, and then
    what is left. Floored, and once a millionth of it is less than one, as it is after the second
    time, it is the quotient or one of its neighbours, and the remainder says which.

    Args:
      dividend: signed integers [...], at least 0.
      divisor: of the same type, at least 1.
    """
    quotient, rest = jnp.zeros_like(dividend), dividend
    for _ in range(2):
        part = jnp.floor(rest.astype(jnp.float32) / divisor.astype(jnp.float32))
        part = part.astype(dividend.dtype)
        quotient, rest = quotient + part, rest - part * divisor
    too_small, too_large = rest >= divisor, rest < 0
    return quotient + too_small.astype(dividend.dtype) - too_large.astype(dividend.dtype)
