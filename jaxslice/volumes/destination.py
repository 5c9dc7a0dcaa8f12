"""Creates volumes to write to, whatever their format."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.storage.location import parse_location
from jaxslice.storage.replace import check_new_place, new_place
from jaxslice.volumes.formats import format_of
from jaxslice.volumes.interface import Destination, Format, NewVolume, VoxelSize

__all__ = ["Destination", "check_destination", "create_destination"]


@contextlib.contextmanager
def create_destination(
    dest: str | os.PathLike[str],
    box: Box,
    voxel_size_nm: VoxelSize,
    *,
    chunk_shape: Triple = (64, 64, 64),
    overwrite: bool = False,
) -> Iterator[Destination]:
    """Creates a volume, which is complete when the `with` block ends without an exception.

    Every `write` must have returned by then, or when the block is left by an exception. A local
    volume is either complete or absent. In a bucket a new volume grows in place and is deleted on
    an exception; one that replaces another is copied to its place at the end.

    Args:
      dest: a `.npy` path, or the folder or file://, gs:// or s3:// URL of a precomputed volume.
      box: the voxels of the volume, in global coordinates; its start becomes the voxel offset.
      voxel_size_nm: z,y,x. A `.npy` file keeps neither it nor the offset.
      chunk_shape: voxels of a precomputed chunk, z,y,x. Boxes written at once should be made of
        whole chunks; others are correct too, but read and rewrite the chunks that they share.
      overwrite: replace an existing `.npy` file or precomputed volume, which stays as it is until
        the new one is complete. What else lies in its folder is kept.

    Yields:
      The destination to write to.

    Raises:
      UsageError: `dest` exists, or cannot be created.
    """
    if min(box.shape) < 1:
        raise UsageError(f"Got the box {box}, expected at least 1 voxel.")
    place = os.fspath(dest)
    known = _writable_format(place)
    assert known.create is not None
    assert known.kind is not None
    with new_place(place, known.kind, overwrite) as location:
        new = NewVolume(box, voxel_size_nm, chunk_shape)
        yield Destination(place, box, known.create(place, location, new))


def check_destination(dest: str | os.PathLike[str], overwrite: bool) -> None:
    """Raises what `create_destination` would at its start, before any work is spent.

    Raises:
      UsageError: `dest` exists, or nothing can be written there.
    """
    place = os.fspath(dest)
    kind = _writable_format(place).kind
    assert kind is not None
    check_new_place(place, kind, overwrite)


def _writable_format(place: str) -> Format:
    known = format_of(place, parse_location(place))
    if known.create is None:
        raise UsageError(f"Got {place!r}, expected another format: {known.name} is only read.")
    return known
