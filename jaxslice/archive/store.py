"""Archives: a Zarr v3 hierarchy with OME-Zarr metadata whose chunks are blocks.

Nothing here needs JAX, so that looking at an archive is quick.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Sequence

from jaxslice.archive.keys import METADATA_KEY as _METADATA
from jaxslice.archive.keys import keys_of
from jaxslice.archive.metadata import SCALE_PATH, Metadata, parse, scale_paths
from jaxslice.codec.place import Place
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.shorten import short_repr
from jaxslice.storage.draft import unfinished_draft
from jaxslice.storage.folder import Folder, open_folder
from jaxslice.storage.location import OPEN_TIMEOUT_SECONDS, unreachable_is_usage_error

BLOCKS_BYTES = "blocks_bytes"
"""Field of the provenance: bytes of all blocks, for storage that cannot tell cheaply."""


@dataclasses.dataclass(frozen=True)
class Archive(Metadata):
    """An archive that is open. It pickles, so that processes can share the work.

    Attributes:
      location: as the user wrote it.
      folder: where its objects are.
      scales: paths of all arrays of the archive, the finest first.
    """

    location: str
    folder: Folder = dataclasses.field(repr=False)
    scales: tuple[str, ...] = dataclasses.field(default=(SCALE_PATH,), kw_only=True)

    @property
    def box(self) -> Box:
        """The volume, in global coordinates."""
        return Box.of_shape(self.shape, self.placement.offset_voxels)

    @property
    def grid_shape(self) -> Triple:
        """Blocks along z, y and x."""
        z, y, x = (-(-n // b) for n, b in zip(self.shape, self.block_shape, strict=True))
        return (z, y, x)

    @property
    def num_blocks(self) -> int:
        """Blocks of the whole volume."""
        return math.prod(self.grid_shape)

    def block_ranges(self, box: Box | None = None) -> tuple[range, range, range]:
        """Indices along z, y and x of the blocks that hold voxels of `box` (global coordinates)."""
        local = box.relative_to(self.placement.offset_voxels) if box else Box.of_shape(self.shape)
        z, y, x = (
            range(a // n, -(-b // n))
            for a, b, n in zip(local.start, local.stop, self.block_shape, strict=True)
        )
        return (z, y, x)

    def blocks(self, box: Box | None = None) -> Iterator[Triple]:
        """Indices of the blocks that hold voxels of `box` (global coordinates), x fastest."""
        yield from itertools.product(*self.block_ranges(box))

    def box_of(self, index: Triple) -> Box:
        """The voxels of a block that lie in the volume, in global coordinates."""
        z, y, x = (
            o + i * b
            for o, i, b in zip(self.placement.offset_voxels, index, self.block_shape, strict=True)
        )
        return Box.of_shape(self.block_shape, (z, y, x)).intersect(self.box)

    @property
    def sealed(self) -> bool:
        """Whether every block is there and knows its index."""
        return False

    def place_of(self, index: Triple) -> Place:
        """The place that the payload of a block says."""
        return self.configuration.place_of(index)

    def read_payload(self, index: Triple) -> bytes:
        """A block's bytes.

        Raises:
          FormatError: the archive lacks that block.
          OSError: the storage cannot be reached.
        """
        key = self._key(index)
        data = self.folder.read(key)
        if data is None:
            raise FormatError(
                f"Got no object {key!r} in {self.location!r}, expected a block of the archive."
            )
        return data

    def write_payload(self, index: Triple, payload: bytes) -> None:
        """Stores a block's bytes."""
        self.folder.write(self._key(index), payload)

    def _key(self, index: Triple) -> str:
        return f"{self.path}/c/" + "/".join(str(i) for i in index)


def open_archive(location: str | os.PathLike[str], scale: int = 0) -> Archive:
    """Opens an archive: a local folder or a file://, http(s)://, gs:// or s3:// URL.

    Args:
      location: of the archive.
      scale: index of one of its resolutions, the finest being 0.

    Raises:
      UsageError: there is no archive or no such scale, or the storage cannot be reached.
      FormatError: its metadata are damaged, or made by another codec.
      VersionError: it was written by a later format version.
    """
    place = os.fspath(location)
    folder = open_folder(place)
    with unreachable_is_usage_error(place):
        group = folder.read(_METADATA, OPEN_TIMEOUT_SECONDS)
        left = unfinished_draft(place) if group is None else None
    if group is None:
        hint = f" An unfinished one is in {left!r}." if left else ""
        raise UsageError(
            f"Got {place!r}, where there is no {_METADATA}, expected an archive.{hint}"
        )
    try:
        paths = scale_paths(group)
        if scale not in range(len(paths)):
            raise UsageError(f"Got the scale {scale} of {place!r}, expected 0 to {len(paths) - 1}.")
        with unreachable_is_usage_error(place):
            array = folder.read(f"{paths[scale]}/{_METADATA}", OPEN_TIMEOUT_SECONDS)
        if array is None:
            raise UsageError(f"Got {place!r}, expected an archive with an array {paths[scale]!r}.")
        described = parse(group, array, scale)
    except FormatError as error:
        raise type(error)(f"Cannot read the metadata of {place!r}: {error}") from None
    return Archive(**vars(described), location=place, folder=folder, scales=paths)


def open_scales(location: str | os.PathLike[str]) -> list[Archive]:
    """Opens all scales of an archive, the finest first; see `open_archive`."""
    finest = open_archive(location)
    return [finest, *(open_archive(location, n) for n in range(1, len(finest.scales)))]


def compressed_bytes(scales: Sequence[Archive]) -> int:
    """Bytes of all objects of an archive: blocks and metadata, the networks included.

    Args:
      scales: all of the archive's.

    Raises:
      FormatError: the storage cannot tell, and the archive does not say.
    """
    opened = scales[0]
    total = opened.folder.total_bytes(keys_of(opened.scales))
    if total is not None:
        return total
    keys = [_METADATA, *(f"{scale.path}/{_METADATA}" for scale in scales)]
    metadata_bytes = sum(len(opened.folder.read(key) or b"") for key in keys)
    return metadata_bytes + sum(map(_blocks_bytes, scales))


def _blocks_bytes(scale: Archive) -> int:
    recorded = scale.provenance.get(BLOCKS_BYTES)
    if type(recorded) is not int:
        raise FormatError(
            f"Got {short_repr(recorded)} for {BLOCKS_BYTES} of {scale.location!r}, expected a "
            "number of bytes."
        )
    return recorded
