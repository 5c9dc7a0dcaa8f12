"""Creates volumes to write to, whatever their format."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.storage import bucket
from jaxslice.storage.folder import RemoteFolder
from jaxslice.storage.location import parse_location
from jaxslice.storage.replace import check_new_place, new_place
from jaxslice.volumes.formats import format_to_write
from jaxslice.volumes.interface import Destination, NewVolume, VoxelSize

__all__ = [
    "Destination",
    "check_destination",
    "create_destination",
    "create_scales",
    "takes_scales",
]

_UINT8 = np.dtype(np.uint8)


@contextlib.contextmanager
def create_destination(
    dest: str | os.PathLike[str],
    box: Box,
    voxel_size_nm: VoxelSize,
    *,
    chunk_shape: Triple = (64, 64, 64),
    overwrite: bool = False,
    dest_format: str | None = None,
    encoding: str | None = None,
    shard_shape: Triple | None = None,
    dtype: np.dtype = _UINT8,
) -> Iterator[Destination]:
    """Creates a volume, which is complete when the `with` block ends without an exception.

    Every `write` must have returned by then, or when the block is left by an exception. A local
    volume is either complete or absent. In a bucket a new volume grows in place and is deleted on
    an exception; one that replaces another is copied to its place at the end.

    Args:
      dest: a path, or a file://, gs:// or s3:// URL for formats that are folders.
      box: the voxels of the volume, in global coordinates; its start becomes the voxel offset.
      voxel_size_nm: z,y,x. A `.npy` file keeps neither it nor the offset.
      chunk_shape: voxels of a chunk, z,y,x. Boxes written at once should be made of whole chunks;
        others are correct too, but read and rewrite the chunks that they share.
      overwrite: replace an existing volume of the same format, which stays as it is until the new
        one is complete. What else lies in its folder is kept.
      dest_format: key of the format; if None, what the name says, else precomputed.
      encoding: how chunks are stored, where the format has a choice; None for its usual way.
      shard_shape: of the objects that hold several chunks each; see `NewVolume`.
      dtype: of the voxels.

    Yields:
      The destination to write to.

    Raises:
      UsageError: `dest` exists, or cannot be created.
    """
    if min(box.shape) < 1:
        raise UsageError(f"Got the box {box}, expected at least 1 voxel.")
    place = os.fspath(dest)
    new = NewVolume(box, voxel_size_nm, chunk_shape, encoding, shard_shape, dtype)
    with create_scales(place, [new], overwrite=overwrite, dest_format=dest_format) as (made,):
        yield made


@contextlib.contextmanager
def create_scales(
    dest: str | os.PathLike[str],
    scales: Sequence[NewVolume],
    *,
    overwrite: bool = False,
    dest_format: str | None = None,
) -> Iterator[list[Destination]]:
    """Creates a volume with several scales, as `create_destination` does one.

    Args:
      dest: as there.
      scales: the finest first.
      overwrite: as there.
      dest_format: as there.

    Yields:
      A destination for each scale.

    Raises:
      UsageError: `dest` exists, cannot be created, or is of a format without several scales or
        shards.
    """
    place = os.fspath(dest)
    known = format_to_write(place, parse_location(place), dest_format)
    assert known.create is not None
    assert known.kind is not None
    if not known.shards and any(scale.shard_shape for scale in scales):
        raise UsageError(
            f"Got shards for {place!r}, expected precomputed or Zarr 3, but it is {known.name}."
        )
    if len(scales) > 1 and not known.several_scales:
        raise UsageError(f"Got {len(scales)} scales for {place!r}, expected one: {known.name}.")
    with new_place(place, known.kind, overwrite) as location:
        made, finer = [], ()
        for scale in scales:
            new = dataclasses.replace(scale, finer=finer)
            writer = known.create(place, location, new)
            made.append(Destination(place, new.box, writer, new.dtype))
            finer = (*finer, scale)
        if isinstance(location, dict):
            for each in made:
                # Opens the array while its metadata are there.
                each.writer.tensorstore  # noqa: B018
            bucket.hide_entry(RemoteFolder(place, location), known.kind)
        yield made


def takes_scales(dest: str | os.PathLike[str], dest_format: str | None = None) -> bool:
    """Whether a volume that is created at `dest` may have several scales.

    Raises:
      UsageError: no volume can be written there.
    """
    place = os.fspath(dest)
    return format_to_write(place, parse_location(place), dest_format).several_scales


def check_destination(
    dest: str | os.PathLike[str], overwrite: bool, dest_format: str | None = None
) -> None:
    """Raises what `create_destination` would at its start, before any work is spent.

    Raises:
      UsageError: `dest` exists, or nothing can be written there.
    """
    place = os.fspath(dest)
    kind = format_to_write(place, parse_location(place), dest_format).kind
    assert kind is not None
    check_new_place(place, kind, overwrite)
