"""Which module handles the level tables of voxels: `levels` of uint8, `wide_levels` of uint16.

Both have `choose`, `pack`, `unpack`, `symbols_of`, `voxels_of` and `sizes`, each with its own kind
of tables.
"""

from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from jaxslice.codec import levels, wide_levels

Tables: TypeAlias = Any
"""Level tables: what `choose` returns."""


def of(dtype: np.dtype) -> ModuleType:
    """The module for voxels of this dtype, uint8 or uint16."""
    return wide_levels if dtype == np.uint16 else levels
