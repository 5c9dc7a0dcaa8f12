"""Sources that were compressed with loss: their voxels take more bytes than they do.

What JPEG made of a volume is cheap to say as JPEG, and expensive to say voxel by voxel. Users are
told before the work begins.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxslice.codec.block import encode_blocks
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import LossySourceWarning, SourceDataError, UsageError
from jaxslice.jobs.plan import Plan
from jaxslice.models import model_file
from jaxslice.volumes.damage import damage_is
from jaxslice.volumes.interface import Source
from jaxslice.volumes.jpeg_traces import jpeg_quality

_STORED_CHUNKS = 24
_PLACES = 3
"""Parts of the volume that are read."""

_SHAPE: Triple = (16, 128, 128)
"""Of each of them."""


def check_source(source: Source, plan: Plan) -> dict[str, Any]:
    """Says what a lossy source costs, or that the voxels were JPEG once.

    Args:
      source: the volume of the plan.
      plan: how to compress it.

    Returns:
      What was found, for the archive's provenance; empty for a source without traces of loss.

    Raises:
      UsageError: its chunks take fewer bytes than its voxels would, and that is not allowed.
      SourceDataError: voxels that cannot be read.
    """
    # JPEG of more bits is rare, and no shipped model could say what it costs.
    if source.dtype != np.uint8:
        return {}
    if source.details.lossy:
        return _checked_sizes(source, plan)
    found = [q for part in _samples(source, plan) if (q := _quality_in(part)) is not None]
    # One part may look like JPEG by chance, or have been pasted in.
    if len(found) < 2:
        return {}
    quality = round(float(np.median(found)))
    warnings.warn(
        f"The voxels of {source.description!r} were JPEG once, of quality {quality}: losslessly "
        "they take more bytes than that JPEG did. If the original is to be had, compress that.",
        LossySourceWarning,
        stacklevel=3,
    )
    return {"source_was_jpeg_of_quality": quality}


def _checked_sizes(source: Source, plan: Plan) -> dict[str, Any]:
    as_voxels = _bits_per_voxel(source, plan)
    stored = None
    if source.stored_sample is not None:
        with damage_is(SourceDataError, f"chunks of {source.description!r}"):
            stored_bytes, voxels = source.stored_sample(_STORED_CHUNKS, plan.options.seed)
        stored = 8 * stored_bytes / voxels if voxels else None
    found = {
        "source_bits_per_voxel": None if stored is None else round(stored, 3),
        "estimated_bits_per_voxel": round(as_voxels, 3),
    }
    if plan.options.lossy_source == "allow" or (stored is not None and stored >= as_voxels):
        return found
    sizes = f"as voxels about {as_voxels:.1f} bits per voxel"
    if stored is not None:
        sizes = f"stored {stored:.1f}, {sizes}"
    original = source.details.original
    where = f" The original is said to be at {original!r}." if original else ""
    raise UsageError(
        f"Got {source.description!r}, which is {source.details.encoding}-coded with loss: {sizes}. "
        f"Expected a lossless source, or --lossy_source=allow to keep these voxels exactly.{where}"
    )


def _bits_per_voxel(source: Source, plan: Plan) -> float:
    """What the shipped network makes of some parts, as a network for the volume will by and by."""
    parts = [part for part in _samples(source, plan) if part.size]
    shape = tuple(min(n) for n in zip(*(part.shape for part in parts), strict=True))
    blocks = [np.ascontiguousarray(part[tuple(slice(n) for n in shape)]) for part in parts]
    name = plan.model or "default"
    model = model_file.load(name).model
    payloads = encode_blocks(blocks, model, engine=plan.options.engine)
    return 8 * sum(map(len, payloads)) / sum(block.size for block in blocks)


def _samples(source: Source, plan: Plan) -> Iterator[np.ndarray]:
    """Parts of the volume, at random; where nothing is, others are drawn."""
    generator = np.random.default_rng(plan.options.seed)
    shape = [min(n, size) for n, size in zip(_SHAPE, source.shape, strict=True)]
    taken = 0
    for left in range(4 * _PLACES, 0, -1):
        z, y, x = (
            start + int(generator.integers(0, size - n + 1))
            for start, size, n in zip(source.box.start, source.shape, shape, strict=True)
        )
        part = source.read(Box.of_shape((shape[0], shape[1], shape[2]), (z, y, x)))
        if part.min() < part.max() or left <= _PLACES - taken:
            yield part
            taken += 1
        if taken == _PLACES:
            return


def _quality_in(part: np.ndarray) -> int | None:
    return jpeg_quality(part[len(part) // 2])
