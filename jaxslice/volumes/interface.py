"""What a volume is that is read or written, and what a file format has to provide.

All boxes and arrays are z,y,x. Axes in another order are turned round inside the format's file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.placement import Placement
from jaxslice.storage.kind import Kind
from jaxslice.storage.location import Location

VoxelSize: TypeAlias = tuple[float, float, float]
"""Nanometres along z, y and x."""


@runtime_checkable
class Reader(Protocol):
    """Reads the voxels of boxes; a frozen value that pickles, called from several threads."""

    def __call__(self, box: Box, /) -> np.ndarray:
        """uint8 [z,y,x] of a box inside the volume, an array of the caller's own.

        Raises:
          SourceDataError: a chunk is missing, damaged or cannot be fetched.
        """
        ...


@runtime_checkable
class Writer(Protocol):
    """Writes the voxels of boxes; a frozen value that pickles, called from several threads."""

    def __call__(self, box: Box, voxels: np.ndarray, /) -> None:
        """Stores uint8 [z,y,x] in a box inside the volume.

        Raises:
          OSError: the storage refuses, for instance because it is full.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Source:
    """A volume, or the part of it that was selected, that can be read box by box.

    It pickles: another process opens the files anew when it first reads.

    Attributes:
      description: the file or URL, to be printed.
      box: the voxels that can be read, in global coordinates.
      placement: voxel size, and the global coordinate of the first voxel of `box`.
      reader: of the format.
    """

    description: str
    box: Box
    placement: Placement
    reader: Reader = dataclasses.field(repr=False)

    @property
    def shape(self) -> Triple:
        """Voxels along z, y and x."""
        return self.box.shape

    def read(self, box: Box) -> np.ndarray:
        """Reads the voxels of `box`; may be called from several threads.

        Args:
          box: global coordinates, wholly inside `self.box`.

        Returns:
          uint8 [z,y,x], C-contiguous, the caller's own copy.

        Raises:
          UsageError: `box` is not inside `self.box`.
          SourceDataError: a chunk is missing, damaged or cannot be fetched.
        """
        if not self.box.contains(box):
            raise UsageError(f"Got the box {box}, expected one inside {self.box}.")
        return np.ascontiguousarray(self.reader(box))


@dataclasses.dataclass(frozen=True)
class Destination:
    """A new volume that is written box by box. It pickles, so that processes can share the work.

    Attributes:
      description: the file or URL, to be printed.
      box: the voxels of the volume, in global coordinates.
      writer: of the format.
    """

    description: str
    box: Box
    writer: Writer = dataclasses.field(repr=False)

    def write(self, box: Box, voxels: np.ndarray) -> None:
        """Writes the voxels of `box`; threads may write disjoint boxes at the same time.

        Args:
          box: global coordinates, wholly inside `self.box`.
          voxels: uint8 [z,y,x] of the shape of `box`.

        Raises:
          UsageError: `box` is not inside `self.box`, or `voxels` does not fit it.
          OSError: the storage refuses, for instance because it is full.
        """
        if not self.box.contains(box):
            raise UsageError(f"Got the box {box}, expected one inside {self.box}.")
        if voxels.dtype != np.uint8 or voxels.shape != box.shape:
            raise UsageError(
                f"Got voxels of dtype {voxels.dtype} and shape {voxels.shape}, expected uint8 and"
                f" {box.shape}."
            )
        self.writer(box, voxels)


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """How a volume is opened.

    Attributes:
      scale: index or key of one of its scales.
      missing: what a chunk means that the volume does not have: "error", or "zero" for black.
    """

    scale: int | str = 0
    missing: str = "error"


@dataclasses.dataclass(frozen=True)
class NewVolume:
    """A volume to be created.

    Attributes:
      box: its voxels, in global coordinates.
      voxel_size_nm: z,y,x.
      chunk_shape: voxels of a chunk, z,y,x, for formats that have chunks.
    """

    box: Box
    voxel_size_nm: VoxelSize
    chunk_shape: Triple


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
      name: in plural or with its article, for the list of what is supported.
      is_named: whether a location looks like one of this format, from its name alone.
      open: opens a volume for reading.
      create: creates a volume; None if the format is only read.
      kind: what `--overwrite` may replace; None if the format is only read.
    """

    name: str
    is_named: Callable[[Location], bool]
    open: Open
    create: Create | None = None
    kind: Kind | None = None


class NotThisFormat(Exception):
    """A location holds no volume of the format; the message completes "Got X, which ..."."""
