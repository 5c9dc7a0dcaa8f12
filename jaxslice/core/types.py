"""Names for the arrays that travel between modules: shape, dtype and meaning, said once.

Axis letters: z, y, x voxels; t time steps of the march; c context voxels; k mixture components;
n voxels taken together in any order.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Int16, Int32, Real, UInt8, UInt32, UInt64

Volume: TypeAlias = UInt8[np.ndarray, "z y x"]
"""Grey levels of a volume or of any part of it."""

Symbols: TypeAlias = Int16[np.ndarray, "z y x"]
"""Index of each voxel's level in its slice's table; -1 outside the box that is coded."""

Sheared: TypeAlias = Int16[np.ndarray, "t block place"]
"""Blocks in the order of the march, side by side: one row for each time step."""

Contexts: TypeAlias = Real[Array, "c n"]
"""Symbols of the context voxels, -1 where a context voxel lies outside the block."""

Heads: TypeAlias = UInt64[Array, "*block lane"]
"""rANS states, one per lane, in [2**31, 2**63)."""

Words: TypeAlias = UInt32[np.ndarray, " word"]
"""A flattened message."""

Integers: TypeAlias = Int32[Array, " n"]
ComponentIntegers: TypeAlias = Int32[Array, "k n"]

Device: TypeAlias = Any
"""A `jax.Device`, which type checkers do not accept as a type."""
