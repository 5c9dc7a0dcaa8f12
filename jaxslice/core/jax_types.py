"""Names for JAX arrays that travel between modules: shape, dtype and meaning.

Axis letters: c context voxels; k mixture components; n voxels taken together in any order.
"""

from typing import TypeAlias

from jax import Array
from jaxtyping import Int32, Real, UInt64

Contexts: TypeAlias = Real[Array, "c n"]
"""Symbols of the context voxels, -1 where a context voxel lies outside the block."""

Heads: TypeAlias = UInt64[Array, "*block lane"]
"""rANS states, one for each lane, in [2**31, 2**63)."""

LaneIntegers: TypeAlias = Int32[Array, "*block lane"]
"""A number for each lane."""

Integers: TypeAlias = Int32[Array, " n"]
ComponentIntegers: TypeAlias = Int32[Array, "k n"]
