"""The scales of an archive: several of the source's, then others made by mean pooling."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxslice.archive.lazy_volume import LazyVolume
from jaxslice.archive.store import Archive
from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.jobs.options import CompressOptions
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.pooled import MeanReader, pooled
from jaxslice.volumes.source import Source, open_source

CACHE_BYTES = 128 * 2**20
"""For decoded blocks of the finer scale while a coarser one is made of it."""

SOURCE_SCALE, POOLED_BY = "source_scale", "pooled_by"
"""Fields of a scale's provenance: which of the source's scales it is, or how it was made."""


@dataclasses.dataclass(frozen=True)
class ArchiveReader(PicklesFields):
    """Reads boxes of an archive that may not be complete yet; see `volumes.interface.Reader`.

    Attributes:
      archive: to read.
    """

    archive: Archive

    def __call__(self, box: Box) -> np.ndarray:
        return np.asarray(self._volume[box.relative_to(self.archive.placement.offset_voxels).slices])

    @functools.cached_property
    def _volume(self) -> LazyVolume:
        return LazyVolume(self.archive, CACHE_BYTES)


def voxels_of(archive: Archive, description: str) -> Source:
    """An archive as a source.

    Args:
      archive: to read.
      description: to be printed.
    """
    return Source(description, archive.box, archive.placement, ArchiveReader(archive))


def open_sources(source: str, options: CompressOptions) -> list[Source]:
    """Opens the scales of a source that will be compressed, the finest first.

    Raises:
      UsageError: no such volume or scale, or a wrong option.
      SourceDataError: voxels that cannot be read.
    """
    names = options.scales or (options.scale,)
    opened = [
        open_source(source, bbox=options.bbox, scale=name, missing=options.missing)
        for name in names
    ]
    for finer, coarser in zip(opened, opened[1:], strict=False):
        sizes = finer.placement.voxel_size_nm, coarser.placement.voxel_size_nm
        if not all(a <= b for a, b in zip(*sizes, strict=True)) or sizes[0] == sizes[1]:
            raise UsageError(
                f"Got the scales {', '.join(map(str, names))} of {source!r}, expected each coarser "
                "than the one before it."
            )
    return opened


def next_source(
    sources: Sequence[Source], made: Sequence[Archive], options: CompressOptions
) -> tuple[Source, dict[str, Any]] | None:
    """What the next scale of an archive is made of, and what its provenance says of that.

    Args:
      sources: from `open_sources`.
      made: the scales that are there.
      options: as requested.

    Returns:
      None after the last scale.
    """
    scale = len(made)
    if scale < len(sources):
        name = str(options.scales[scale]) if options.scales else None
        return sources[scale], ({} if name is None else {SOURCE_SCALE: name})
    if scale >= len(sources) + options.downsample:
        return None
    coarser = pooled(voxels_of(made[-1], sources[0].description))
    if coarser is None:
        return None
    assert isinstance(coarser.reader, MeanReader)
    return coarser, {POOLED_BY: list(coarser.reader.factors)}
