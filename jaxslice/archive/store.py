"""Archives: a Zarr v3 hierarchy with OME-Zarr metadata whose chunks are blocks.

Nothing here needs JAX, so that looking at an archive is quick.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxslice.archive.keys import METADATA_KEY as _METADATA
from jaxslice.archive.keys import keys_of
from jaxslice.archive.metadata import SCALE_PATH, Metadata, parse, scale_paths
from jaxslice.archive.shards import (
    Index,
    IndexCache,
    index_bytes,
    pack_shard,
    part_of,
    place_in_shard,
    unpack_index,
)
from jaxslice.codec.limits import MAX_JSON_BYTES, most_payload_bytes
from jaxslice.codec.payload import black_payload
from jaxslice.codec.place import Place
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.shorten import short_repr
from jaxslice.storage.draft import unfinished_draft
from jaxslice.storage.folder import Folder, open_folder, too_long
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
    def scale(self) -> int:
        """Index of this resolution among the archive's."""
        return self.scales.index(self.path)

    def place_of(self, index: Triple) -> Place:
        """The place that the payload of a block says."""
        return self.configuration.place_of(index)

    @property
    def blocks_per_shard(self) -> Triple:
        """Blocks of a stored object along z, y and x."""
        shards = self.shard_shape or self.block_shape
        z, y, x = (s // b for s, b in zip(shards, self.block_shape, strict=True))
        return (z, y, x)

    @property
    def _objects_grid(self) -> Triple:
        pairs = zip(self.grid_shape, self.blocks_per_shard, strict=True)
        z, y, x = (-(-blocks // per_shard) for blocks, per_shard in pairs)
        return (z, y, x)

    @property
    def num_objects(self) -> int:
        """Stored objects: blocks, or shards where there are shards."""
        return math.prod(self._objects_grid)

    def object_at(self, position: int) -> Triple:
        """The index of a stored object by its position in the order of `shards`, from 0."""
        _, height, width = self._objects_grid
        return (position // (height * width), position // width % height, position % width)

    def shards(self) -> Iterator[tuple[Triple, list[Triple]]]:
        """The index of each stored object, and those of its blocks, x fastest."""
        for index in map(self.object_at, range(self.num_objects)):
            yield index, self.blocks_of(index)

    def blocks_of(self, shard: Triple) -> list[Triple]:
        """Indices of the blocks of a stored object, x fastest."""
        z, y, x = (
            range(i * p, min((i + 1) * p, n))
            for i, p, n in zip(shard, self.blocks_per_shard, self.grid_shape, strict=True)
        )
        return list(itertools.product(z, y, x))

    def read_payload(self, index: Triple) -> bytes:
        """A block's bytes; those of a black block where an archive may lack it.

        Raises:
          FormatError: the archive lacks that block, or the shard that it is in is damaged.
          OSError: the storage cannot be reached.
        """
        try:
            data = self._read(index)
        except FormatError as error:
            raise type(error)(f"In block {index} of {self.location!r}: {error}") from None
        if data is None and not self.configuration.has_all_blocks:
            return black_payload(self.block_shape, self.place_of(index), self.dtype)
        if data is None:
            key = self.key_of(place_in_shard(index, self.blocks_per_shard)[0])
            raise FormatError(
                f"Got no object {key!r} in {self.location!r}, expected block {index} of the "
                "archive."
            )
        return data

    def _read(self, index: Triple) -> bytes | None:
        """A block's bytes, which are an object or a part of one; None if they are not there."""
        most_bytes = most_payload_bytes(self.block_shape, self.dtype.itemsize)
        if self.shard_shape is None:
            return self.folder.read_at_most(self.key_of(index), most_bytes)
        shard, number = place_in_shard(index, self.blocks_per_shard)
        key = self.key_of(shard)
        entries = self._indices.get(shard, lambda: self._read_index(key))
        part = None if entries is None else part_of(entries, number)
        if part is None:
            return None
        length = part.stop - part.start
        if length > most_bytes:
            raise too_long(key, most_bytes)
        data = self.folder.read(key, part=part)
        if data is not None and len(data) != length:
            raise FormatError(f"Got a payload of {length} bytes that reaches beyond its shard.")
        return data

    def _read_index(self, key: str) -> Index | None:
        size = index_bytes(self.blocks_per_shard)
        data = self.folder.read(key, part=slice(-size, None))
        return None if data is None else unpack_index(data, self.blocks_per_shard)

    @functools.cached_property
    def _indices(self) -> IndexCache:
        return IndexCache()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_indices"}

    def write_payload(self, index: Triple, payload: bytes) -> None:
        """Stores a block's bytes, in an object of its own."""
        assert self.shard_shape is None, "shards are written as a whole"
        self.folder.write(self.key_of(index), payload)

    def write_shard(self, shard: Triple, payloads: Mapping[Triple, bytes]) -> None:
        """Stores a shard: the payloads of all its blocks, by their indices."""
        self.folder.write(self.key_of(shard), pack_shard(payloads, self.blocks_per_shard))

    def check_stored(self, index: Triple, payload: bytes) -> None:
        """Reads a block back that was just written.

        Raises:
          OSError: the storage fails, or returns other bytes.
        """
        # The index of its shard may be kept from before.
        self._indices.forget()
        try:
            found = self._read(index)
        except FormatError:
            found = None
        if found != payload:
            raise OSError(
                f"Got other bytes of block {index} from {self.location!r} than were just written, "
                "expected the same: do not trust this storage."
            )

    def key_of(self, index: Triple) -> str:
        """The key of a stored object: of a block, or of a shard where there are shards."""
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
    found = open_scales(location)
    if scale not in range(len(found)):
        raise UsageError(
            f"Got the scale {scale} of {os.fspath(location)!r}, expected 0 to {len(found) - 1}."
        )
    return found[scale]


def open_scales(location: str | os.PathLike[str]) -> list[Archive]:
    """Opens all scales of an archive, the finest first; see `open_archive`."""
    place = os.fspath(location)
    folder = open_folder(place)
    try:
        with unreachable_is_usage_error(place):
            group = _metadata_at(folder, _METADATA)
            left = unfinished_draft(place) if group is None else None
        if group is None:
            hint = f" An unfinished one is in {left!r}." if left else ""
            raise UsageError(
                f"Got {place!r}, where there is no {_METADATA}, expected an archive.{hint}"
            )
        paths, arrays = scale_paths(group), []
        for path in paths:
            with unreachable_is_usage_error(place):
                array = _metadata_at(folder, f"{path}/{_METADATA}")
            if array is None:
                raise UsageError(f"Got {place!r}, expected an archive with an array {path!r}.")
            arrays.append(array)
        described = parse(group, *arrays)
    except FormatError as error:
        raise type(error)(f"Cannot read the metadata of {place!r}: {error}") from None
    return [
        Archive(**vars(each), location=place, folder=folder, scales=paths) for each in described
    ]


def _metadata_at(folder: Folder, key: str) -> bytes | None:
    """A `zarr.json`, which is not read if it is longer than any that is parsed."""
    return folder.read_at_most(key, MAX_JSON_BYTES, OPEN_TIMEOUT_SECONDS, ask_first=True)


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
