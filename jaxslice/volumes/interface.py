"""What a volume is that is read or written, and what a file format has to provide.

All boxes and arrays are z,y,x. Axes in another order are turned round inside the format's file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.storage.kind import Kind
from jaxslice.storage.location import Location
from jaxslice.volumes.chunk_cache import Chunking
from jaxslice.volumes.damage import damage_is
from jaxslice.volumes.details import Details, VoxelSize
from jaxslice.volumes.options import SourceOptions


@runtime_checkable
class Reader(Protocol):
    """Reads the voxels of boxes; a frozen value that pickles, called from several threads."""

    def __call__(self, box: Box, /) -> np.ndarray:
        """Voxels [z,y,x] of a box inside the volume, an array of the caller's own.

        Raises:
          SourceDataError: a chunk is missing, damaged or cannot be fetched.
        """
        ...


@dataclasses.dataclass(frozen=True)
class MovedReader:
    """Reads a volume as if it were elsewhere.

    Attributes:
      reader: of the volume.
      by: voxels by which it is moved.
    """

    reader: Reader
    by: Triple

    def __call__(self, box: Box) -> np.ndarray:
        z, y, x = self.by
        return self.reader(box.shift((-z, -y, -x)))


@runtime_checkable
class Writer(Protocol):
    """Writes the voxels of boxes; a frozen value that pickles, called from several threads."""

    def __call__(self, box: Box, voxels: np.ndarray, /) -> None:
        """Stores voxels [z,y,x] in a box inside the volume.

        Raises:
          OSError: the storage refuses, for instance because it is full.
        """
        ...


class MissingChunks:
    """Chunks that a volume did not have when they were read, by their index."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._indices: set[Triple] = set()
        self._any_found = False
        self._refused = ""

    def refuse(self, message: str) -> None:
        """Takes what a store said of a chunk that it refused, and that counts as missing."""
        self._refused = self._refused or message

    @property
    def refused(self) -> str:
        """What was said of the first refused chunk; empty if none was refused."""
        return self._refused

    def add(self, missing: Iterable[Triple], found: bool) -> None:
        """Takes the missing chunks of one box, and whether it had others."""
        self._indices.update(missing)
        self._any_found = self._any_found or found

    def take(self, other: MissingChunks | None) -> None:
        """Takes what another process knows, if any."""
        if other is not None:
            self.add(other.indices, other.any_found)
            self.refuse(other.refused)

    @property
    def indices(self) -> frozenset[Triple]:
        """Those that are known."""
        return frozenset(self._indices)

    @property
    def any_found(self) -> bool:
        """Whether a chunk was there."""
        return self._any_found

    @property
    def count(self) -> int:
        """How many are known."""
        return len(self._indices)

    @property
    def all_missing(self) -> bool:
        """Whether chunks were asked for and not one was there."""
        return bool(self._indices) and not self._any_found


@dataclasses.dataclass(frozen=True)
class Source:
    """A volume, or the part of it that was selected, that can be read box by box.

    It pickles: another process opens the files anew when it first reads.

    Attributes:
      description: the file or URL, to be printed.
      box: the voxels that can be read, in global coordinates.
      placement: voxel size, and the global coordinate of the first voxel of `box`.
      reader: of the format.
      dtype: of the voxels, in this machine's byte order.
      details: what the format says of the volume, for `inspect`; see `details.py`.
      missing: chunks that were read as zeros, or as what the format says, because they are not
        there. Only reads of this process and of workers of its cluster are counted.
      stored_sample: bytes and voxels of some of the stored chunks, given how many and a seed; None
        where it cannot be told.
      chunking: how the stored chunks lie; None where they are not known, or where voxels are made
        of others.
    """

    description: str
    box: Box
    placement: Placement
    reader: Reader = dataclasses.field(repr=False)
    dtype: np.dtype = np.dtype(np.uint8)  # noqa: RUF009 - immutable
    details: Details = dataclasses.field(default_factory=Details, repr=False, hash=False)
    missing: MissingChunks = dataclasses.field(
        default_factory=MissingChunks, repr=False, compare=False
    )
    stored_sample: Callable[[int, int], tuple[int, int]] | None = dataclasses.field(
        default=None, repr=False, compare=False
    )
    chunking: Chunking | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def shape(self) -> Triple:
        """Voxels along z, y and x."""
        return self.box.shape

    def read(self, box: Box) -> np.ndarray:
        """Reads the voxels of `box`; may be called from several threads.

        Args:
          box: global coordinates, wholly inside `self.box`.

        Returns:
          [z,y,x], C-contiguous, the caller's own copy.

        Raises:
          UsageError: `box` is not inside `self.box`.
          SourceDataError: a chunk is missing, damaged or cannot be fetched.
        """
        if not self.box.contains(box):
            raise UsageError(f"Got the box {box}, expected one inside {self.box}.")
        with damage_is(SourceDataError, f"the box {box} of {self.description!r}"):
            return np.ascontiguousarray(self.reader(box))

    def moved_to(self, start: Triple) -> Source:
        """The same volume at another place."""
        z, y, x = (a - b for a, b in zip(start, self.box.start, strict=True))
        reader = MovedReader(self.reader, (z, y, x))
        placement = dataclasses.replace(self.placement, offset_voxels=start)
        return dataclasses.replace(
            self, box=self.box.shift((z, y, x)), placement=placement, reader=reader, chunking=None
        )

    def covering(self, box: Box) -> Source:
        """The part in a box; a volume of that shape that knows no place is taken to be there.

        A file that keeps no offset, such as a `.npy`, begins at 0,0,0.

        Raises:
          UsageError: it does not cover the box.
        """
        if not self.box.contains(box) and self.box == Box.of_shape(box.shape):
            return self.moved_to(box.start)
        return self.part(box)

    def part(self, box: Box | None) -> Source:
        """The part of the volume in a box; all of it if None.

        Raises:
          UsageError: the box is empty, or not wholly inside the volume.
        """
        if box is None:
            return self
        if min(box.shape) < 1 or not self.box.contains(box):
            raise UsageError(
                f"Got the bbox {box}, expected a box of at least one voxel wholly inside the "
                f"volume, which is {self.box} (z,y,x)."
            )
        placement = dataclasses.replace(self.placement, offset_voxels=box.start)
        return dataclasses.replace(self, box=box, placement=placement)


@dataclasses.dataclass(frozen=True)
class Destination:
    """A new volume that is written box by box. It pickles, so that processes can share the work.

    Attributes:
      description: the file or URL, to be printed.
      box: the voxels of the volume, in global coordinates.
      writer: of the format.
      dtype: of the voxels.
    """

    description: str
    box: Box
    writer: Writer = dataclasses.field(repr=False)
    dtype: np.dtype = np.dtype(np.uint8)  # noqa: RUF009 - immutable

    def write(self, box: Box, voxels: np.ndarray) -> None:
        """Writes the voxels of `box`; threads may write disjoint boxes at the same time.

        Args:
          box: global coordinates, wholly inside `self.box`.
          voxels: [z,y,x] of the shape of `box`.

        Raises:
          UsageError: `box` is not inside `self.box`, or `voxels` does not fit it.
          OSError: the storage refuses, for instance because it is full.
        """
        if not self.box.contains(box):
            raise UsageError(f"Got the box {box}, expected one inside {self.box}.")
        if voxels.dtype != self.dtype or voxels.shape != box.shape:
            raise UsageError(
                f"Got voxels of dtype {voxels.dtype} and shape {voxels.shape}, expected"
                f" {self.dtype} and {box.shape}."
            )
        self.writer(box, voxels)


@dataclasses.dataclass(frozen=True)
class NewVolume:
    """A volume to be created.

    Attributes:
      box: its voxels, in global coordinates.
      voxel_size_nm: z,y,x.
      chunk_shape: voxels of a chunk, z,y,x, for formats that have chunks.
      shard_shape: of the objects that hold several chunks each, for formats that have them: a
        chunk's shape times the same power of two along each axis; None for an object a chunk.
      encoding: how chunks are stored, where the format has a choice; None for its usual way.
      dtype: of the voxels.
      finer: the finer scales that were created before at the same place, the finest first.
    """

    box: Box
    voxel_size_nm: VoxelSize
    chunk_shape: Triple
    encoding: str | None = None
    shard_shape: Triple | None = None
    dtype: np.dtype = np.dtype(np.uint8)  # noqa: RUF009 - immutable
    finer: tuple[NewVolume, ...] = ()


AnySource: TypeAlias = Any
"""A path or URL, an array, or a `Source`: whatever `open_source` takes."""

Open: TypeAlias = Callable[[str, Location, SourceOptions], Source]
"""Opens the volume at a location; the string names it in messages. No voxel is read.

Raises NotThisFormat, UsageError (a wrong option) or SourceDataError.
"""

Create: TypeAlias = Callable[[str, Location, NewVolume], Writer]
"""Creates a volume of which every voxel will be written; the string names it in messages.

Raises UsageError where it cannot be created.
"""


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
      key: a short word, for flags and reports.
      name: in plural or with its article, for the list of what is supported.
      open: opens a volume for reading.
      suffixes: ends of the names of its files, in lower case; empty for folders.
      entries: objects, of which a folder of this format has at least one.
      magic: first bytes of its files.
      takes: which of `scale`, `dataset`, `channel`, `time` and `raw` it understands.
      create: creates a volume; None if the format is only read.
      kind: what `--overwrite` may replace; None if the format is only read.
      several_scales: whether a volume that is created may have several.
      shards: whether a volume that is created may be sharded.
    """

    key: str
    name: str
    open: Open
    suffixes: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    takes: frozenset[str] = frozenset()
    create: Create | None = None
    kind: Kind | None = None
    several_scales: bool = False
    shards: bool = False


class NotThisFormat(Exception):
    """A location holds no volume of the format; the message completes "Got X, which ..."."""
