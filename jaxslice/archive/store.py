"""Archives: a Zarr v3 hierarchy with OME-Zarr metadata whose chunks are blocks.

Nothing here needs JAX, so that looking at an archive is quick.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
import re
from collections.abc import Iterator
from typing import Any

from jaxslice.archive.configuration import CODEC_NAME, CodecConfiguration
from jaxslice.archive.identity import identity_of
from jaxslice.archive.metadata import SCALE_PATH, Metadata, parse
from jaxslice.archive.seal import Leaves
from jaxslice.codec.limits import check_volume
from jaxslice.codec.payload import black_payload
from jaxslice.codec.place import Place
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.core.shorten import short_repr
from jaxslice.storage.folder import Folder, folder_at, open_folder
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import (
    OPEN_TIMEOUT_SECONDS,
    public_name,
    unreachable_is_usage_error,
)
from jaxslice.storage.replace import check_new_place, new_place

BLOCKS_BYTES = "blocks_bytes"
"""Field of the provenance: bytes of all blocks, for storage that cannot tell cheaply."""

_METADATA = "zarr.json"

_PLACES = ("source", "model")
"""Fields of the provenance that are locations as the user wrote them."""


@dataclasses.dataclass(frozen=True)
class Archive(Metadata):
    """An archive that is open. It pickles, so that processes can share the work.

    Attributes:
      location: as the user wrote it.
      folder: where its objects are.
    """

    location: str
    folder: Folder = dataclasses.field(repr=False)

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

    def place_of(self, index: Triple) -> Place:
        """The place that the payload of a block says."""
        return self.configuration.place_of(index)

    def read_payload(self, index: Triple) -> bytes:
        """A block's bytes; those of a black block where an archive may lack it.

        Raises:
          FormatError: the archive lacks that block.
          OSError: the storage cannot be reached.
        """
        key = _block_key(index)
        data = self.folder.read(key)
        if data is None and not self.configuration.has_all_blocks:
            return black_payload(self.block_shape, self.place_of(index), self.dtype)
        if data is None:
            raise FormatError(
                f"Got no object {key!r} in {self.location!r}, expected a block of the archive."
            )
        return data

    def write_payload(self, index: Triple, payload: bytes) -> None:
        """Stores a block's bytes."""
        self.folder.write(_block_key(index), payload)

    def compressed_bytes(self) -> int:
        """Bytes of all objects of the archive: blocks and metadata, the network included."""
        total = self.folder.total_bytes(_is_own_key)
        if total is not None:
            return total
        blocks_bytes = self.provenance.get(BLOCKS_BYTES)
        if type(blocks_bytes) is not int:
            raise FormatError(
                f"Got {short_repr(blocks_bytes)} for {BLOCKS_BYTES} of {self.location!r}, expected "
                "a number of bytes."
            )
        metadata = (self.folder.read(key) for key in (_METADATA, f"{SCALE_PATH}/{_METADATA}"))
        return blocks_bytes + sum(len(data or b"") for data in metadata)


def open_archive(location: str | os.PathLike[str]) -> Archive:
    """Opens an archive: a local folder or a file://, http(s)://, gs:// or s3:// URL.

    Raises:
      UsageError: there is no archive, or its storage cannot be reached.
      FormatError: its metadata are damaged, or made by another codec.
      VersionError: it was written by a later format version.
    """
    place = os.fspath(location)
    folder = open_folder(place)
    with unreachable_is_usage_error(place):
        group = folder.read(_METADATA, OPEN_TIMEOUT_SECONDS)
    if group is None:
        raise UsageError(f"Got {place!r}, where there is no {_METADATA}, expected an archive.")
    with unreachable_is_usage_error(place):
        array = folder.read(f"{SCALE_PATH}/{_METADATA}", OPEN_TIMEOUT_SECONDS)
    if array is None:
        raise UsageError(f"Got {place!r}, expected an archive with an array {SCALE_PATH!r}.")
    try:
        described = parse(group, array)
    except FormatError as error:
        raise type(error)(f"Cannot read the metadata of {place!r}: {error}") from None
    return Archive(**vars(described), location=place, folder=folder)


@contextlib.contextmanager
def create_archive(
    location: str | os.PathLike[str],
    box: Box,
    block_shape: Triple,
    configuration: CodecConfiguration,
    placement: Placement,
    provenance: dict[str, Any],
    *,
    data_type: str = "uint8",
    leaves: Leaves | None = None,
    overwrite: bool = False,
) -> Iterator[Archive]:
    """Creates an archive, which is there when the `with` block ends without an exception.

    Locally it is written beside its place, synced and renamed at the end. In a bucket the blocks of
    a new archive are written in place and its metadata last, so that a part of an archive never
    opens as a whole; on an exception they are deleted. An archive that replaces another is written
    to a folder inside it and copied at the end, which is not atomic: see `bucket.new_folder`.

    Args:
      location: a local folder or a gs:// or s3:// URL.
      box: of the volume, in global coordinates.
      block_shape: of the blocks.
      configuration: of the codec. Without an identity the array gets one.
      placement: of the volume; its offset is that of `box`.
      provenance: JSON object to keep with the archive; read when the block ends, so that fields
        can be added until then. Of the locations in it only `public_name` is kept.
      data_type: of the voxels.
      leaves: which has the leaf of every block when the `with` block ends, to seal the archive;
        None for an archive that is not sealed.
      overwrite: whether to replace an archive that is there. Whatever else lies in its folder,
        such as the `labels` of an OME group, is kept.

    Raises:
      UsageError: something is there already, or the place cannot be written.
    """
    place = os.fspath(location)
    try:
        check_volume(box.shape)
        configuration.check_blocks(block_shape)
    except FormatError as error:
        raise UsageError(str(error)) from None
    with new_place(place, KIND, overwrite) as where:
        configuration = dataclasses.replace(configuration, sealed=leaves is not None)
        archive = Archive(
            box.shape, block_shape, configuration, placement, provenance, data_type, None, place,
            folder_at(place, where),
        )  # fmt: skip
        if configuration.blocks_know_their_place and configuration.identity is None:
            identity = identity_of(_public(archive), SCALE_PATH)
            configuration = dataclasses.replace(configuration, identity=identity)
            archive = dataclasses.replace(archive, configuration=configuration)
        yield archive
        _write_metadata(archive, [leaves.layers()] if leaves else None)


def check_creatable(location: str | os.PathLike[str], overwrite: bool) -> None:
    """Raises what `create_archive` would at its start, before any work is spent.

    Raises:
      UsageError: something is there already, or is no archive that could be overwritten, or the
        place cannot be written.
    """
    check_new_place(os.fspath(location), KIND, overwrite)


def _write_metadata(archive: Archive, layers: list[list[bytes]] | None) -> None:
    name = public_name(archive.location).rpartition("/")[2] or "volume"
    recorded = _public(archive)
    archive.folder.write(f"{SCALE_PATH}/{_METADATA}", recorded.array_json())
    archive.folder.write(_METADATA, recorded.group_json(name, layers))


def _public(archive: Archive) -> Archive:
    """The archive with the provenance that it keeps."""
    places = {key: archive.provenance.get(key) for key in _PLACES}
    public = {key: public_name(place) for key, place in places.items() if isinstance(place, str)}
    return dataclasses.replace(archive, provenance={**archive.provenance, **public})


def _block_key(index: Triple) -> str:
    return f"{SCALE_PATH}/c/" + "/".join(str(i) for i in index)


_OWN_KEY = re.compile(rf"zarr\.json|{SCALE_PATH}/zarr\.json|{SCALE_PATH}/c/\d+/\d+/\d+")


def _is_own_key(key: str) -> bool:
    return _OWN_KEY.fullmatch(key) is not None


def _own_keys(group: bytes | None) -> OwnKeys | None:
    """The objects of an archive in the folder with this group; None if it is another group."""
    try:
        is_archive = group is None or CODEC_NAME in json.loads(group)["attributes"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return _is_own_key if is_archive else None


KIND = Kind("a jaxslice archive", _METADATA, _own_keys)
"""What `--overwrite` may replace."""
