"""Where a volume sits in space."""

from __future__ import annotations

import dataclasses

from jaxslice.core.box import Triple


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the voxels of a volume sit in space, z,y,x."""

    voxel_size_nm: tuple[float, float, float]
    offset_voxels: Triple
