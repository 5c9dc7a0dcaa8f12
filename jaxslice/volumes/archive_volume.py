"""jaxslice archives as sources: an archive is compressed anew, or compared with another."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from jaxslice.archive.lazy_volume import LazyVolume
from jaxslice.archive.metadata import CODEC_NAME
from jaxslice.archive.store import Archive, open_archive
from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.details import UNKNOWN_SIZE, Details
from jaxslice.volumes.interface import Source, SourceOptions


@dataclasses.dataclass(frozen=True)
class ArchiveReader(PicklesFields):
    """Reads boxes of an archive: decodes the blocks that hold them.

    Attributes:
      archive: to decode.
    """

    archive: Archive

    def __call__(self, box: Box) -> np.ndarray:
        local = box.relative_to(self.archive.placement.offset_voxels)
        return np.asarray(self._volume[local.slices])

    @functools.cached_property
    def _volume(self) -> LazyVolume:
        return LazyVolume(self.archive)


def is_archive(attributes: dict[str, Any]) -> bool:
    """Whether the attributes of a Zarr group are those of an archive."""
    return isinstance(attributes.get(CODEC_NAME), dict) and "ome" in attributes


def open_source(place: str, options: SourceOptions) -> Source:
    """Opens an archive as a source.

    Raises:
      UsageError: there is none, or it lacks the scale.
      FormatError: its metadata are damaged.
    """
    if str(options.scale) != "0":
        raise UsageError(f"Got the scale {options.scale!r} of {place!r}, expected 0.")
    archive = open_archive(place)
    details = Details(
        format="jaxslice archive",
        encoding=CODEC_NAME,
        chunk_shape=archive.block_shape,
        voxel_size_known=archive.placement.voxel_size_nm != UNKNOWN_SIZE,
    )
    reader = ArchiveReader(archive)
    return Source(place, archive.box, archive.placement, reader, archive.dtype, details)
