"""jaxslice archives as sources: an archive is compressed anew, or compared with another."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from jaxslice.archive.configuration import CODEC_NAME
from jaxslice.archive.lazy_volume import CACHE_BYTES, LazyVolume
from jaxslice.archive.store import Archive, open_scales
from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.details import UNKNOWN_SIZE, Details, Scale
from jaxslice.volumes.interface import Source, SourceOptions


@dataclasses.dataclass(frozen=True)
class ArchiveReader(PicklesFields):
    """Reads boxes of an archive: decodes the blocks that hold them.

    Attributes:
      archive: to decode.
      cache_bytes: most memory for decoded blocks.
    """

    archive: Archive
    cache_bytes: int = CACHE_BYTES

    def __call__(self, box: Box) -> np.ndarray:
        local = box.relative_to(self.archive.placement.offset_voxels)
        return np.asarray(self._volume[local.slices])

    @functools.cached_property
    def _volume(self) -> LazyVolume:
        return LazyVolume(self.archive, self.cache_bytes)


def is_archive(attributes: dict[str, Any]) -> bool:
    """Whether the attributes of a Zarr group are those of an archive."""
    return isinstance(attributes.get(CODEC_NAME), dict) and "ome" in attributes


def open_source(place: str, options: SourceOptions) -> Source:
    """Opens an archive as a source.

    Raises:
      UsageError: there is none, or it lacks the scale.
      FormatError: its metadata are damaged.
    """
    scale = str(options.scale)
    if not scale.isdecimal():
        raise UsageError(f"Got the scale {scale!r} of {place!r}, expected its index, such as 0.")
    scales = open_scales(place)
    if int(scale) >= len(scales):
        raise UsageError(f"Got the scale {scale} of {place!r}, expected 0 to {len(scales) - 1}.")
    archive = scales[int(scale)]
    details = Details(
        format="jaxslice archive",
        encoding=CODEC_NAME,
        chunk_shape=archive.block_shape,
        scales=tuple(
            Scale(str(number), each.shape, each.placement.voxel_size_nm, CODEC_NAME)
            for number, each in enumerate(scales)
        ),
        scale=scale,
        voxel_size_known=archive.placement.voxel_size_nm != UNKNOWN_SIZE,
    )
    return dataclasses.replace(voxels_of(archive, place), details=details)


def voxels_of(archive: Archive, description: str, cache_bytes: int = CACHE_BYTES) -> Source:
    """One scale of an archive, which need not be complete yet, as a source.

    Args:
      archive: to read.
      description: to be printed.
      cache_bytes: most memory for decoded blocks.
    """
    reader = ArchiveReader(archive, cache_bytes)
    return Source(description, archive.box, archive.placement, reader, archive.dtype)
