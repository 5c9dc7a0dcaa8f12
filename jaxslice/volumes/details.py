"""What a source's format says of it, beside its voxels."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from jaxslice.core.box import Triple

VoxelSize: TypeAlias = tuple[float, float, float]
"""Nanometres along z, y and x."""

UNKNOWN_SIZE: VoxelSize = (1.0, 1.0, 1.0)
"""Voxel size where nothing is known of it."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """One resolution of a volume.

    Attributes:
      key: its name.
      shape: voxels along z, y and x.
      voxel_size_nm: z,y,x; None if unknown.
      encoding: of its chunks.
    """

    key: str
    shape: Triple
    voxel_size_nm: VoxelSize | None = None
    encoding: str = "raw"


@dataclasses.dataclass(frozen=True)
class Details:
    """What a format says of a volume.

    Attributes:
      format: key of the format, and its version where it has one.
      encoding: how the voxels are stored, such as "raw", "gzip" or "jpeg".
      lossy: whether that encoding may have changed the voxels.
      chunk_shape: z,y,x of what is read at least; None where any voxel can be.
      scales: all of the volume's, where it has several.
      scale: key of the one that is read.
      voxel_size_known: whether the voxel size was found or given.
      axes: of the stored array, slowest first, such as "tczyx".
      selected: index of each other axis that was chosen, such as {"c": 1}.
      dataset: path of the array inside the file or group.
      original: where the metadata say that the unchanged volume is.
    """

    format: str = ""
    encoding: str = "raw"
    lossy: bool = False
    chunk_shape: Triple | None = None
    scales: tuple[Scale, ...] = ()
    scale: str | None = None
    voxel_size_known: bool = False
    axes: str = "zyx"
    selected: dict[str, int] = dataclasses.field(default_factory=dict, hash=False)
    dataset: str | None = None
    original: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object without what is unknown."""
        found = dataclasses.asdict(self)
        found["scales"] = [
            {key: value for key, value in scale.items() if value is not None}
            for scale in found["scales"]
        ]
        return {key: value for key, value in found.items() if value not in (None, (), [], {})}
