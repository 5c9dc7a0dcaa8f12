"""Files that hold one volume, local or remote, and arrays that lie in them byte by byte."""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import math
from pathlib import Path
from typing import Any, cast

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, StorageError, UsageError
from jaxslice.storage import location as locations
from jaxslice.storage import redirects, traffic
from jaxslice.storage.location import (
    Location,
    explained,
    is_fault,
    one_line,
    storage_context,
    unreachable_is_usage_error,
    without_secrets,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.storage.store_options import waited
from jaxslice.volumes.axes import View
from jaxslice.volumes.chunk_cache import ChunkCache, Chunking

_BUFFER_BYTES = 1 << 20


class _RemoteFile(io.RawIOBase):
    """A remote object as a file: each read is a request for a range of bytes."""

    def __init__(self, place: str, spec: dict[str, Any]) -> None:
        self._place, self._at = place, 0
        self._open(spec)
        try:
            self._size = _remote_size(self._store, self._key, place)
        except ValueError as error:
            if not redirects.is_redirect(error):
                raise
            path = spec.get("path", "").rstrip("/")
            folder, slash, key = path.rpartition("/")
            seconds = locations.OPEN_TIMEOUT_SECONDS
            redirects.follow({**spec, "path": folder + slash}, key, seconds, is_file=True)
            self._open(redirects.moved({**spec, "path": path}))
            self._size = _remote_size(self._store, self._key, place)

    def _open(self, spec: dict[str, Any]) -> None:
        import tensorstore as ts

        folder, _, self._key = spec.get("path", "").rstrip("/").rpartition("/")
        path = f"{folder}/" if folder or spec["driver"] == "http" else ""
        opening = ts.KvStore.open({**spec, "path": path}, context=storage_context())
        self._store = opening.result()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        data = self.read_at(self._at, stop - self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def read_at(self, start: int, size: int) -> bytes:
        """Bytes from anywhere; several threads may ask at the same time."""
        try:
            found = self._store.read(self._key, byte_range=slice(start, start + size))
            return waited(found).value
        except (TimeoutError, ValueError) as error:
            message = f"Cannot read {without_secrets(self._place)!r}: {explained(error)}"
            raise (StorageError if is_fault(error) else OSError)(message) from error


def _remote_size(store: Any, key: str, place: str) -> int:
    """How many bytes an object has, found by asking for single bytes.

    Raises:
      FileNotFoundError: there is none.
    """

    def has(byte: int) -> bool:
        try:
            found = store.read(key, byte_range=slice(byte, byte + 1))
            result = waited(found, locations.OPEN_TIMEOUT_SECONDS)
        except ValueError as error:
            if str(error).startswith("OUT_OF_RANGE"):
                return False
            raise
        if result.state != "value":
            raise FileNotFoundError(2, "No such file", place)
        return len(result.value) == 1

    if not has(0):
        return 0
    low, high = 0, 1
    while has(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if has(middle) else (low, middle)
    return high


def open_file(place: str, location: Location) -> io.BufferedReader:
    """Opens a local or remote file for reading; it can seek.

    Raises:
      UsageError: there is no such file, or it cannot be reached.
    """
    with unreachable_is_usage_error(place):
        if isinstance(location, Path):
            return location.open("rb")
        raw = _RemoteFile(place, location)
        return io.BufferedReader(raw, _BUFFER_BYTES)


def file_size(file: io.BufferedIOBase) -> int:
    """Bytes of an open file, whose position stays as it is."""
    at = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(at)
    return size


def local_file(place: str, location: Location, what: str) -> Path:
    """The path of a file that only a local path can name.

    Raises:
      UsageError: the location is remote.
    """
    if isinstance(location, Path):
        return location
    raise UsageError(f"Got {place!r}, expected a local path: {what} is read from local files only.")


@dataclasses.dataclass(frozen=True)
class FlatReader(PicklesFields):
    """Reads boxes of an array that lies in a file without gaps.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the file.
      first_byte: where the array begins.
      dtype: as stored, with its byte order.
      order: "C" or "F", as NumPy has it.
      view: of the array.
      chunks: parts of a remote file that are kept.
    """

    place: str
    location: Location
    first_byte: int
    dtype: np.dtype
    order: str
    view: View
    chunks: ChunkCache = dataclasses.field(default_factory=ChunkCache, repr=False, compare=False)

    def __call__(self, box: Box) -> np.ndarray:
        try:
            if isinstance(self.location, Path):
                part = self._mapped()[self.view.index(box)]
                traffic.count(read_bytes=part.nbytes)
            else:
                part = self._fetched(self.view.index(box))
        except StorageError:
            raise
        except (OSError, ValueError) as error:
            raise SourceDataError(
                f"Cannot read the box {box} of {self.place!r}: {one_line(error)}."
            ) from error
        return np.array(self.view.arrange(part), self.dtype.newbyteorder("="), order="C")

    def _mapped(self) -> np.ndarray:
        # Mapped anew each time: pages that were read stay resident for as long as the map does.
        return np.memmap(
            self.location,  # type: ignore[arg-type]
            self.dtype, "r", self.first_byte, self.view.shape,
            self.order,  # type: ignore[arg-type]
        )  # fmt: skip

    def _fetched(self, index: tuple[slice | int, ...]) -> np.ndarray:
        """The indexed part of a remote array: some whole rows of each slice along axis 0."""
        shape, turned = self.view.shape, self.order == "F"
        if turned:
            shape, index = shape[::-1], index[::-1]
        bounds = [(k, k + 1) if isinstance(k, int) else (k.start, k.stop) for k in index]
        (first, last), (low, high) = bounds[0], bounds[1]
        inner = tuple(slice(a, b) for a, b in bounds[2:])
        found = np.empty([b - a for a, b in bounds], self.dtype)
        size = self._rows_at_once
        for number, part in itertools.product(
            range(first, last), range(low // size, -(-high // size))
        ):
            begin = part * size
            kept = slice(max(low, begin), min(high, begin + size))
            rows = self._rows(number, part)[kept.start - begin : kept.stop - begin]
            found[number - first, kept.start - low : kept.stop - low] = rows[slice(None), *inner]
        picked = found[tuple(0 if isinstance(key, int) else slice(None) for key in index)]
        return picked.T if turned else picked

    @property
    def _rows_at_once(self) -> int:
        """Rows of a slice that are fetched in one request: a power of two."""
        return 1 << (max(_BUFFER_BYTES // self._row_bytes, 1).bit_length() - 1)

    @property
    def _row_bytes(self) -> int:
        shape = self.view.shape if self.order == "C" else self.view.shape[::-1]
        return math.prod(shape[2:]) * self.dtype.itemsize

    def _rows(self, number: int, part: int) -> np.ndarray:
        """Rows of one slice of a remote array."""
        shape = self.view.shape if self.order == "C" else self.view.shape[::-1]
        low = part * self._rows_at_once
        count = min(self._rows_at_once, shape[1] - low)
        start = self.first_byte + (number * shape[1] + low) * self._row_bytes
        num_bytes = count * self._row_bytes

        def fetch() -> np.ndarray:
            data = self._remote.read_at(start, num_bytes)
            return np.frombuffer(data, self.dtype).reshape(count, *shape[2:])

        return self.chunks.get((number, part, 0), num_bytes, fetch)

    @property
    def chunking(self) -> Chunking | None:
        """How what is fetched at once lies; None for a local file."""
        if isinstance(self.location, Path):
            return None
        shape = self.view.shape if self.order == "C" else self.view.shape[::-1]
        stored = [1, min(self._rows_at_once, shape[1]), *shape[2:]]
        shape = self.view.triple(stored if self.order == "C" else stored[::-1])
        return Chunking((0, 0, 0), shape, self.dtype.itemsize, self.chunks)

    @functools.cached_property
    def _remote(self) -> _RemoteFile:
        return _RemoteFile(self.place, cast(dict, self.location))
