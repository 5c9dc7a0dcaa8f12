"""Stacks of pictures: a folder or a pattern of files, one for each slice, in natural order."""

from __future__ import annotations

import dataclasses
import functools
import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.location import Location
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.axes import View
from jaxslice.volumes.details import Details
from jaxslice.volumes.files import local_file
from jaxslice.volumes.interface import Format, NotThisFormat, Source, SourceOptions
from jaxslice.volumes.pages import PageCache
from jaxslice.volumes.pictures import (
    DECODERS,
    LOSSY_SUFFIXES,
    SUFFIXES,
    one_sample,
    read_picture,
)
from jaxslice.volumes.sources import source_of
from jaxslice.volumes.tiff_stack_writer import KIND, create


@dataclasses.dataclass(frozen=True)
class StackReader(PicklesFields):
    """Reads boxes of a stack.

    Attributes:
      paths: of the slices.
      shape: of each.
      dtype: of each.
      channel: where pictures have several samples.
    """

    paths: tuple[Path, ...]
    shape: tuple[int, int]
    dtype: np.dtype
    channel: int | str | None

    def __call__(self, box: Box) -> np.ndarray:
        z, y, x = box.slices
        voxels = np.empty(box.shape, self.dtype)
        for number in range(z.start, z.stop):
            voxels[number - z.start] = self._pages.read(number, y, x)
        return voxels

    def stored_sample(self, count: int, seed: int) -> tuple[int, int]:
        """Bytes and voxels of some of the files."""
        generator = np.random.default_rng(seed)
        drawn = generator.choice(len(self.paths), min(len(self.paths), count), replace=False)
        stored = sum(self.paths[number].stat().st_size for number in drawn)
        return stored, len(drawn) * self.shape[0] * self.shape[1]

    @functools.cached_property
    def _pages(self) -> PageCache:
        return PageCache(self._decoded)

    def _decoded(self, number: int) -> np.ndarray:
        path = self.paths[number]
        picture = one_sample(str(path), read_picture(path), self.channel)
        if picture.shape != self.shape or picture.dtype != self.dtype:
            raise SourceDataError(
                f"Got {str(path)!r} of shape {picture.shape} and dtype {picture.dtype}, expected"
                f" {self.shape} and {self.dtype} as in {str(self.paths[0])!r}."
            )
        return picture


def has_pictures(folder: Path) -> bool:
    """Whether a folder looks like a stack."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted so that slice2 comes before slice10."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", path.name)
        return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts if p]

    return sorted(paths, key=key)


def pictures_in(place: str, path: Path) -> list[Path]:
    """The pictures of a folder or a pattern, in natural order, all of one kind.

    Raises:
      NotThisFormat: there are none.
      UsageError: there are pictures of several kinds.
    """
    if path.is_file():
        return [path]
    found = path.iterdir() if path.is_dir() else map(Path, glob.glob(str(path)))
    pictures = [
        p for p in found
        if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
    ]  # fmt: skip
    if not pictures:
        raise NotThisFormat("has no pictures")
    kinds = sorted({p.suffix for p in pictures})
    if len({suffix.lower() for suffix in kinds}) > 1:
        raise UsageError(
            f"Got {place!r} with pictures of several kinds, {', '.join(kinds)}, expected a pattern"
            f" such as '*{kinds[0]}'."
        )
    return natural_order(pictures)


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    path = local_file(place, location, "a stack of pictures")
    return stack_source(place, pictures_in(place, path), options)


def stack_source(place: str, files: Sequence[Path], options: SourceOptions) -> Source:
    """The source of some pictures, one for each slice."""
    paths = tuple(files)
    first = one_sample(str(paths[0]), read_picture(paths[0]), options.channel)
    height, width = first.shape
    reader = StackReader(paths, (height, width), first.dtype, options.channel)
    suffix = paths[0].suffix.lower()
    details = Details(
        format="stack",
        encoding=suffix.lstrip("."),
        lossy=suffix in LOSSY_SUFFIXES,
        chunk_shape=(1, height, width),
        selected={"c": int(options.channel)} if options.channel else {},
    )
    view = View("zyx", (len(paths), height, width))
    size = options.voxel_size_nm
    return source_of(place, view, first.dtype, reader, details, size)


STACK = Format(
    "stack", "a folder or pattern of pictures (TIFF, PNG, JPEG 2000 and others), one for a slice",
    _open, tuple(DECODERS), takes=frozenset({"channel"}),
    create=create, kind=KIND,
)  # fmt: skip
