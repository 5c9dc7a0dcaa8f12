"""Names for NumPy arrays that travel between modules: shape, dtype and meaning. Needs no JAX.

Axis letters: z, y, x voxels; t time steps of the march. An axis with an underscore may have
another length in each argument of a function.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int16, Int32, UInt8, UInt16, UInt32, UInt64

Volume: TypeAlias = UInt8[np.ndarray, "_z _y _x"] | UInt16[np.ndarray, "_z _y _x"]
"""Grey levels of a volume or of any part of it."""

BlockSymbols: TypeAlias = (
    UInt8[np.ndarray, "block z y x"]
    | Int16[np.ndarray, "block z y x"]
    | UInt16[np.ndarray, "block z y x"]
    | Int32[np.ndarray, "block z y x"]
)
"""Index of each voxel's level in its slice's table. Beyond the extent of its block anything. uint8
or int16 of 8-bit voxels, uint16 or int32 of 16-bit ones."""

AlphabetSizes: TypeAlias = Int32[np.ndarray, "block z"]
"""Symbols in the alphabet of each slice; 0 beyond the extent of the block."""

Extents: TypeAlias = Int32[np.ndarray, "block 3"]
"""Voxels along z, y and x of the coded part of each block, a box at the block's origin."""

Sheared: TypeAlias = Int16[np.ndarray, "t block place"] | Int32[np.ndarray, "t block place"]
"""Blocks in the order of the march, side by side: one row for each time step."""

HeadArray: TypeAlias = UInt64[np.ndarray, " lane"]
"""rANS states, one for each lane, in [2**31, 2**63)."""

Words: TypeAlias = UInt32[np.ndarray, " _word"]
"""A message, or the tail of one."""

Device: TypeAlias = Any
"""A `jax.Device`, which type checkers do not accept as a type."""
