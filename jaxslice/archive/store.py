"""Archives: a Zarr v3 hierarchy with OME-Zarr metadata whose chunks are blocks.

Nothing here needs JAX, so that looking at an archive is quick.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxslice.archive.metadata import CODEC_NAME, SCALE_PATH, CodecConfiguration, Metadata, parse
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.storage.folder import Folder, open_folder
from jaxslice.storage.location import parse_location
from jaxslice.storage.replace import Replaceable, renamed_at_the_end

BLOCKS_BYTES = "blocks_bytes"
"""Field of the provenance: bytes of all blocks, for storage that cannot tell cheaply."""

_METADATA = "zarr.json"


@dataclasses.dataclass(frozen=True)
class Archive(Metadata):
    """An archive that is open.

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

    def read_payload(self, index: Triple) -> bytes:
        """A block's bytes.

        Raises:
          FormatError: the archive lacks that block.
        """
        key = _block_key(index)
        data = self.folder.read(key)
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
        total = self.folder.total_bytes()
        if total is None:
            metadata = (self.folder.read(key) for key in (_METADATA, f"{SCALE_PATH}/{_METADATA}"))
            total = self.provenance[BLOCKS_BYTES] + sum(len(data or b"") for data in metadata)
        return total


def open_archive(location: str) -> Archive:
    """Opens an archive: a local folder or a file://, http(s)://, gs:// or s3:// URL.

    Raises:
      UsageError: there is no archive.
      FormatError: its metadata are damaged, or made by another codec.
      VersionError: it was written by a later format version.
    """
    folder = open_folder(location)
    group = folder.read(_METADATA)
    if group is None:
        raise UsageError(f"Got {location!r}, where there is no {_METADATA}, expected an archive.")
    array = folder.read(f"{SCALE_PATH}/{_METADATA}")
    if array is None:
        raise UsageError(f"Got {location!r}, expected an archive with an array {SCALE_PATH!r}.")
    try:
        described = parse(group, array)
    except FormatError as error:
        raise type(error)(f"Cannot read the metadata of {location!r}: {error}") from None
    return Archive(**vars(described), location=location, folder=folder)


@contextlib.contextmanager
def create_archive(
    location: str,
    box: Box,
    block_shape: Triple,
    configuration: CodecConfiguration,
    placement: Placement,
    provenance: dict[str, Any],
    *,
    overwrite: bool = False,
) -> Iterator[Archive]:
    """Creates an archive, which is there when the `with` block ends without an exception.

    Locally it is written beside its place and renamed at the end. In object storage its blocks are
    written in place and its metadata last, so that a part of an archive never opens as a whole.

    Args:
      location: a local folder or a gs:// or s3:// URL.
      box: of the volume, in global coordinates.
      block_shape: of the blocks.
      configuration: of the codec.
      placement: of the volume; its offset is that of `box`.
      provenance: JSON object to keep with the archive; read when the block ends, so that fields
        can be added until then.
      overwrite: whether to replace an archive that is there.

    Raises:
      UsageError: something is there already, or the place cannot be written.
    """
    made = Archive(
        box.shape, block_shape, configuration, placement, provenance, location, open_folder("")
    )
    place = parse_location(location)
    if isinstance(place, Path):
        with renamed_at_the_end(location, place, _ARCHIVE, overwrite) as partial:
            archive = dataclasses.replace(made, folder=open_folder(str(partial)))
            yield archive
            _write_metadata(archive)
        return
    _check_remote(location, place, overwrite)
    folder = open_folder(location)
    if folder.read(_METADATA) is not None:
        open_archive(location)
        folder.delete_all()
    archive = dataclasses.replace(made, folder=folder)
    yield archive
    _write_metadata(archive)


def check_creatable(location: str, overwrite: bool) -> None:
    """Raises what `create_archive` would at its start, before any work is spent.

    Raises:
      UsageError: something is there already, or is no archive that could be overwritten.
    """
    place = parse_location(location)
    if isinstance(place, Path):
        with (
            contextlib.suppress(_Checked),
            renamed_at_the_end(location, place, _ARCHIVE, overwrite),
        ):
            raise _Checked
    else:
        _check_remote(location, place, overwrite)


def _check_remote(location: str, place: dict[str, Any], overwrite: bool) -> None:
    if place["driver"] not in ("gcs", "s3"):
        raise UsageError(f"Got {location!r}, which is read only, expected a path, gs:// or s3://.")
    if not overwrite and open_folder(location).read(_METADATA) is not None:
        raise UsageError(f"Got {location!r}, which exists, expected a new name or --overwrite.")


class _Checked(Exception):
    """Leaves `renamed_at_the_end` after its checks."""


def _write_metadata(archive: Archive) -> None:
    name = Path(archive.location.rstrip("/")).name or "volume"
    archive.folder.write(f"{SCALE_PATH}/{_METADATA}", archive.array_json())
    archive.folder.write(_METADATA, archive.group_json(name))


def _block_key(index: Triple) -> str:
    return f"{SCALE_PATH}/c/" + "/".join(str(i) for i in index)


def _is_archive(path: Path) -> bool:
    """Whether a folder is an archive, or empty: what may be replaced without loss."""
    if not path.is_dir():
        return False
    if not any(path.iterdir()):
        return True
    try:
        attributes = json.loads((path / _METADATA).read_bytes())["attributes"]
        return CODEC_NAME in attributes
    except (OSError, ValueError, LookupError, TypeError):
        return False


_ARCHIVE = Replaceable("a jaxslice archive", _is_archive)
