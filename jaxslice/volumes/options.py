"""How a volume is opened."""

from __future__ import annotations

import dataclasses

from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.whole_numbers import three_whole, whole
from jaxslice.volumes.details import VoxelSize


@dataclasses.dataclass(frozen=True)
class RawHeader:
    """What a file without a header holds.

    Attributes:
      shape: voxels along z, y and x, x fastest.
      dtype: as NumPy names it, such as "uint8" or ">u2".
      skip_bytes: before the first voxel.
    """

    shape: Triple
    dtype: str = "uint8"
    skip_bytes: int = 0

    def __post_init__(self):
        """Refuses what are no whole numbers (UsageError)."""
        object.__setattr__(self, "shape", three_whole(self.shape, "the raw shape"))
        object.__setattr__(self, "skip_bytes", whole(self.skip_bytes, "skip_bytes"))


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """How a volume is opened.

    Attributes:
      scale: index or key of one of its scales.
      missing: what a chunk means that the volume does not have: "error", or "zero" for black.
        Formats that say what such a chunk holds (Zarr, N5) are not asked.
      format: key of the format; None to find out.
      dataset: path of an array inside a file or group that holds several.
      channel: index or name, where the array has channels; None where it has only one.
      time: index, where the array has several times.
      voxel_size_nm: z,y,x, in place of what the volume says.
      raw: for files without a header.
    """

    scale: int | str = 0
    missing: str = "error"
    format: str | None = None
    dataset: str | None = None
    channel: int | str | None = None
    time: int | None = None
    voxel_size_nm: VoxelSize | None = None
    raw: RawHeader | None = None

    def __post_init__(self):
        """Refuses values that no format takes (UsageError)."""
        if self.missing not in ("error", "zero"):
            raise UsageError(f"Got missing={self.missing!r}, expected 'error' or 'zero'.")
        for name in ("scale", "channel", "time"):
            if not isinstance(value := getattr(self, name), str | None):
                object.__setattr__(self, name, whole(value, name))
        size = self.voxel_size_nm
        if size is not None:
            size = tuple(map(float, size))
            if not (len(size) == 3 and all(0 < nm < 1e18 for nm in size)):
                raise UsageError(f"Got the voxel size {size}, expected z,y,x in nm, each above 0.")
            object.__setattr__(self, "voxel_size_nm", size)
