"""A served volume: the scales of one archive, and boxes of their voxels."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Sequence

import numpy as np

from jaxslice.archive.lazy_volume import LazyVolume
from jaxslice.archive.scales import open_volumes
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.placement import Placement
from jaxslice.serve.blocks import BlockCache, box_of_block
from jaxslice.storage.location import public_name

CHUNK_EDGE = 64
"""Voxels of a served chunk along an axis, or somewhat less where that divides the blocks."""

_LEAST_EDGE = 32


@dataclasses.dataclass(frozen=True, eq=False)
class ServedVolume:
    """One archive under one name.

    Attributes:
      name: in URLs.
      scales: its scales, the finest first.
      identity: of its voxels: other bytes have another one.
    """

    name: str
    scales: tuple[LazyVolume, ...]
    identity: str

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels of all scales."""
        return self.scales[0].archive.dtype

    @functools.cached_property
    def grey_range(self) -> tuple[int, int] | None:
        """The levels to show as black and white; None where those of the dtype suit.

        16 bits are seldom used in full. They are those of a slice in the middle of the coarsest
        scale, but for its few darkest and brightest voxels.
        """
        coarsest = self.scales[-1]
        if self.dtype == np.uint8:
            return None
        _, height, width = coarsest.chunks
        y, x = (n // 2 // b * b for n, b in zip(coarsest.shape[1:], (height, width), strict=True))
        try:
            middle = coarsest[coarsest.shape[0] // 2, y : y + height, x : x + width]
        except (FormatError, OSError):
            return None
        low, high = np.percentile(middle, (0.1, 99.9))
        return int(low), max(int(high), int(low) + 1)

    def placement(self, scale: int) -> Placement:
        """Voxel size and offset of a scale."""
        return self.scales[scale].archive.placement

    def chunk_shape(self, scale: int) -> Triple:
        """Shape of the chunks that a scale is served in; whole chunks fill a block if possible."""
        z, y, x = (
            _chunk_edge(min(block, size))
            for block, size in zip(self.scales[scale].chunks, self.scales[scale].shape, strict=True)
        )
        return (z, y, x)


def open_served(place: str, name: str) -> ServedVolume:
    """Opens an archive to serve it.

    Args:
      place: path or URL of the archive.
      name: for URLs.

    Raises:
      UsageError: there is no archive.
      FormatError: its metadata are damaged or of a later version.
    """
    # Decoded blocks are kept by `BlockCache`, for all volumes together.
    scales = open_volumes(place, cache_bytes=0)
    return ServedVolume(name, scales, _identity(scales))


def names_for(places: Sequence[str | os.PathLike[str]], taken: Iterable[str] = ()) -> list[str]:
    """Names for URLs, one for each place and all different: the last part of the path.

    Args:
      places: paths or URLs of archives.
      taken: names that are in use otherwise.
    """
    used, names = set(taken), []
    for place in places:
        path = os.path.abspath(place) if "://" not in os.fspath(place) else os.fspath(place)
        stem = public_name(path.rstrip("/")).rpartition("/")[2]
        base = re.sub(r"[^A-Za-z0-9_.-]+", "_", re.sub(r"\.zarr$", "", stem)).strip(".") or "volume"
        name = next(
            found
            for found in itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2)))
            if found not in used
        )
        used.add(name)
        names.append(name)
    return names


async def read_box(volume: LazyVolume, box: Box, cache: BlockCache) -> np.ndarray:
    """The voxels of a box, [z, y, x].

    Args:
      volume: to read.
      box: inside the volume, in coordinates that begin at its corner.
      cache: of decoded blocks.

    Raises:
      FormatError: a block is missing or damaged.
      OSError: the storage cannot be reached.
    """
    ranges = (
        range(a // n, -(-b // n))
        for a, b, n in zip(box.start, box.stop, volume.chunks, strict=True)
    )
    indices = [(z, y, x) for z, y, x in itertools.product(*ranges)]
    blocks = await asyncio.gather(*(cache.read(volume, index) for index in indices))
    if len(blocks) == 1:
        return blocks[0][box.relative_to(box_of_block(volume, indices[0]).start).slices]
    voxels = np.empty(box.shape, volume.archive.dtype)
    for index, block in zip(indices, blocks, strict=True):
        whole = box_of_block(volume, index)
        part = whole.intersect(box)
        voxels[part.relative_to(box.start).slices] = block[part.relative_to(whole.start).slices]
    return voxels


def _chunk_edge(extent: int) -> int:
    """The largest divisor of an extent up to CHUNK_EDGE that is not small; else a larger one.

    A chunk that is somewhat larger costs less than one that lies in two blocks.
    """
    divisors = [n for n in range(1, min(2 * CHUNK_EDGE, extent) + 1) if extent % n == 0]
    usual = max(n for n in divisors if n <= CHUNK_EDGE)
    if usual >= min(_LEAST_EDGE, extent):
        return usual
    return min((n for n in divisors if n > CHUNK_EDGE), default=CHUNK_EDGE)


def _identity(scales: tuple[LazyVolume, ...]) -> str:
    digest = hashlib.sha256()
    for volume in scales:
        archive = volume.archive
        described = [
            archive.shape, archive.block_shape, archive.provenance,
            archive.configuration.to_json(), dataclasses.asdict(archive.placement),
        ]  # fmt: skip
        digest.update(json.dumps(described, sort_keys=True).encode())
    return digest.hexdigest()[:32]
