"""The scales of an archive: several of the source's, then others made by mean pooling."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from jaxslice.archive.store import Archive
from jaxslice.core.errors import UsageError
from jaxslice.jobs.options import CompressOptions
from jaxslice.volumes.archive_volume import voxels_of
from jaxslice.volumes.interface import AnySource, SourceOptions
from jaxslice.volumes.pooled import MeanReader, pooled
from jaxslice.volumes.source import Source, open_source

CACHE_BYTES = 128 * 2**20
"""For decoded blocks of the finer scale while a coarser one is made of it."""

ALL_SCALES = "all"

SOURCE_SCALE, POOLED_BY = "source_scale", "pooled_by"
"""Fields of a scale's provenance: which of the source's scales it is, or how it was made."""


def open_sources(
    source: AnySource | Sequence[Source],
    options: CompressOptions,
    reading: SourceOptions | None = None,
) -> list[Source]:
    """Opens the scales of a source that will be compressed, the finest first.

    Args:
      source: as `open_source` takes it, or scales that are open.
      options: which scales, and which box of a single one.
      reading: how to open it; by `options` if None.

    Raises:
      UsageError: no such volume or scale, or a wrong option.
      SourceDataError: voxels that cannot be read.
    """
    if isinstance(source, Sequence) and not isinstance(source, str):
        opened = [each.part(options.bbox) for each in source]
    else:
        reading = reading or SourceOptions(options.scale, options.missing)
        names = options.scales or (reading.scale,)
        if names == (ALL_SCALES,):
            first = open_source(source, options=reading)
            names = tuple(scale.key for scale in first.details.scales) or ("0",)
        opened = [
            open_source(source, bbox=options.bbox, options=dataclasses.replace(reading, scale=n))
            for n in names
        ]
    for finer, coarser in itertools.pairwise(opened):
        sizes = finer.placement.voxel_size_nm, coarser.placement.voxel_size_nm
        if not all(a <= b for a, b in zip(*sizes, strict=True)) or sizes[0] == sizes[1]:
            raise UsageError(
                f"Got scales of {finer.description!r} with voxels of {sizes[0]} and then "
                f"{sizes[1]} nm (z,y,x), expected each coarser than the one before it."
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
        name = sources[scale].details.scale
        return sources[scale], ({SOURCE_SCALE: name} if len(sources) > 1 and name else {})
    return next_pooled(sources[0].description, len(sources), made, options)


def next_pooled(
    description: str, num_sources: int, made: Sequence[Archive], options: CompressOptions
) -> tuple[Source, dict[str, Any]] | None:
    """The next scale that is made by pooling; as `next_source`.

    Args:
      description: of the source.
      num_sources: scales that the source has.
      made: the scales that are there, those of the source and maybe others.
      options: as requested.
    """
    if len(made) >= num_sources + options.downsample:
        return None
    coarser = pooled(voxels_of(made[-1], description, CACHE_BYTES))
    if coarser is None:
        return None
    assert isinstance(coarser.reader, MeanReader)
    return coarser, {POOLED_BY: list(coarser.reader.factors)}
