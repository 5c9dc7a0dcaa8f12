"""Folders of objects, local or remote."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxslice.core.errors import FormatError, StorageError
from jaxslice.storage import redirects, traffic
from jaxslice.storage.location import (
    Location,
    explained,
    is_fault,
    kvstore_spec,
    parse_location,
    storage_context,
    without_secrets,
)
from jaxslice.storage.pickling import PicklesFields
from jaxslice.storage.store_options import store_options, waited


def too_long(key: str, most_bytes: int) -> FormatError:
    """The error for what has more bytes than it may have."""
    return FormatError(f"Got more than {most_bytes} bytes in {key!r}, expected no more.")


@dataclasses.dataclass(frozen=True)
class Folder(PicklesFields, abc.ABC):
    """A folder of objects with keys such as `0/c/1/2/3`; a value that pickles.

    Objects are written whole or not at all, and are durable when `write` returns. The folder's
    TensorStore is opened when it is first needed, in each process anew.

    Attributes:
      place: for messages.
    """

    place: str

    @abc.abstractmethod
    def kvstore(self) -> dict[str, Any]:
        """TensorStore's description of the folder."""

    @abc.abstractmethod
    def read(
        self, key: str, timeout_seconds: float | None = None, part: slice | None = None
    ) -> bytes | None:
        """The bytes of an object, or None if there is none.

        Args:
          key: of the object.
          timeout_seconds: of remote storage; that of the store options if None.
          part: the bytes to read; all if None. A negative start counts from the end. What lies
            beyond the object is left out.

        Raises:
          OSError: the storage cannot be reached or refuses.
        """

    def read_at_most(
        self,
        key: str,
        most_bytes: int,
        timeout_seconds: float | None = None,
        *,
        ask_first: bool = False,
    ) -> bytes | None:
        """The bytes of an object that must not be long, or None if there is none.

        Args:
          key: of the object.
          most_bytes: that it may have.
          timeout_seconds: as for `read`.
          ask_first: whether a remote store is asked first whether it is longer, which takes one
            more request. Otherwise its length is known when it has been read.

        Raises:
          FormatError: it is longer. Of a local file no more than that many bytes were read.
          OSError: the storage cannot be reached or refuses.
        """
        data = self._read_most(key, most_bytes, timeout_seconds, ask_first)
        if data is not None and len(data) > most_bytes:
            raise too_long(key, most_bytes)
        return data

    @abc.abstractmethod
    def _read_most(
        self, key: str, most_bytes: int, timeout_seconds: float | None, ask_first: bool
    ) -> bytes | None:
        """The object, or, if it is longer than `most_bytes`, its begin or all of it."""

    @abc.abstractmethod
    def total_bytes(self, is_counted: Callable[[str], bool]) -> int | None:
        """Bytes of the objects with such keys; None where that means to read all of them."""

    def write(self, key: str, data: bytes) -> None:
        """Stores an object.

        Raises:
          OSError: the storage cannot be reached or refuses.
        """
        try:
            waited(self._store.write(key, data))
        except (TimeoutError, ValueError) as error:
            raise self._failure(f"write {key!r} of", error) from error
        traffic.count(written_bytes=len(data))

    def adopt(self, key: str, other: Folder, other_key: str) -> None:
        """Takes over an object of another folder, which must not be changed in place.

        Raises:
          OSError: it is not there, or the storage fails.
        """
        data = other.read(other_key)
        if data is None:
            raise OSError(f"Cannot read {other_key!r} of {other.place!r}: it is not there.")
        self.write(key, data)

    def delete(self, key: str) -> None:
        """Deletes an object, if it is there."""
        try:
            waited(self._store.write(key, None))
        except (TimeoutError, ValueError) as error:
            raise self._failure(f"delete {key!r} of", error) from error

    def write_if_unchanged(self, key: str, data: bytes, generation: bytes) -> bool:
        """Stores an object unless somebody changed it since `generation` was read.

        Args:
          key: of the object.
          data: to store.
          generation: from `generation_of`.

        Returns:
          Whether it was stored.

        Raises:
          OSError: the storage cannot be reached or refuses.
        """
        try:
            return bool(waited(self._store.write(key, data, if_equal=generation)).generation)
        except (TimeoutError, ValueError) as error:
            raise self._failure(f"write {key!r} of", error) from error

    def generation_of(self, key: str) -> bytes:
        """What the storage says instead of a version number, also of an object that is absent.

        Raises:
          OSError: the storage cannot be reached or refuses.
        """
        try:
            found = waited(self._store.read(key))
        except (TimeoutError, ValueError) as error:
            raise self._failure(f"read {key!r} of", error) from error
        traffic.count_other(len(found.value))
        return found.stamp.generation

    def list_keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects that begin so, in no order. Not on HTTP, which has no listings.

        Raises:
          OSError: the storage cannot be reached or refuses.
        """
        import tensorstore as ts

        # The first key that is behind all keys with the prefix.
        stop = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else ""
        try:
            keys = waited(self._store.list(ts.KvStore.KeyRange(prefix, stop)))
        except (TimeoutError, ValueError) as error:
            raise self._failure("list", error) from error
        return [key.decode() for key in keys]

    def _failure(self, task: str, error: Exception) -> OSError:
        message = f"Cannot {task} {without_secrets(self.place)!r}: {explained(error)}"
        return StorageError(message) if is_fault(error) else OSError(message)

    @functools.cached_property
    def _store(self) -> Any:
        import tensorstore as ts

        spec = ts.KvStore.Spec(self._opened_at)
        return ts.KvStore.open(spec, context=storage_context()).result()

    @functools.cached_property
    def _opened_at(self) -> dict[str, Any]:
        return self.kvstore()


@dataclasses.dataclass(frozen=True)
class LocalFolder(Folder):
    """A folder of the file system.

    Files are read plainly: they are replaced only as a whole, and `info` starts several times
    faster if it does not load TensorStore. They are written by TensorStore, which locks, syncs and
    renames.
    """

    root: Path

    def kvstore(self) -> dict[str, Any]:
        return kvstore_spec(self.root)

    def read(
        self, key: str, timeout_seconds: float | None = None, part: slice | None = None
    ) -> bytes | None:
        try:
            with (self.root / key).open("rb") as file:
                if part is None:
                    return file.read()
                start, stop, _ = part.indices(os.fstat(file.fileno()).st_size)
                file.seek(start)
                return file.read(max(stop - start, 0))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def _read_most(
        self, key: str, most_bytes: int, timeout_seconds: float | None, ask_first: bool
    ) -> bytes | None:
        return self.read(key, timeout_seconds, slice(0, most_bytes + 1))

    def adopt(self, key: str, other: Folder, other_key: str) -> None:
        assert isinstance(other, LocalFolder)
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        # Objects are replaced and never changed, so that both folders may share a file.
        with contextlib.suppress(FileExistsError):
            try:
                os.link(other.root / other_key, target)
            except PermissionError:
                super().adopt(key, other, other_key)

    def total_bytes(self, is_counted: Callable[[str], bool]) -> int:
        files = (path for path in self.root.rglob("*") if path.is_file())
        keyed = ((path.relative_to(self.root).as_posix(), path) for path in files)
        return sum(path.stat().st_size for key, path in keyed if is_counted(key))


@dataclasses.dataclass(frozen=True)
class RemoteFolder(Folder):
    """A folder of a bucket or of an HTTP server.

    Attributes:
      spec: TensorStore's description.
    """

    spec: dict[str, Any]

    def kvstore(self) -> dict[str, Any]:
        return redirects.moved(self.spec)

    def read(
        self, key: str, timeout_seconds: float | None = None, part: slice | None = None
    ) -> bytes | None:
        try:
            found = waited(self._store.read(key, byte_range=part), timeout_seconds)
        except (TimeoutError, ValueError) as error:
            if part is not None and str(error).startswith("OUT_OF_RANGE"):
                return b""
            if redirects.is_redirect(error) and self._follow(key, timeout_seconds):
                return self.read(key, timeout_seconds, part)
            raise self._failure(f"read {key!r} of", error) from error
        traffic.count_other(len(found.value))
        return found.value if found.state == "value" else None

    def _follow(self, key: str, timeout_seconds: float | None) -> bool:
        """Goes to where a redirect leads; False for one after another."""
        if self._opened_at != self.spec:
            return False
        if self.kvstore() == self.spec:
            redirects.follow(self.spec, key, timeout_seconds or store_options().timeout_seconds)
        for name in ("_opened_at", "_store"):
            vars(self).pop(name, None)
        return True

    def _read_most(
        self, key: str, most_bytes: int, timeout_seconds: float | None, ask_first: bool
    ) -> bytes | None:
        if ask_first:
            try:
                beyond = self.read(key, timeout_seconds, slice(most_bytes, most_bytes + 1))
            except OSError as error:
                # Such a server has sent all of it by now.
                if "ignored by server" not in str(error):
                    raise
            else:
                if beyond is None:
                    return None
                if beyond:
                    raise too_long(key, most_bytes)
        return self.read(key, timeout_seconds)

    def total_bytes(self, is_counted: Callable[[str], bool]) -> None:
        return None

    def below(self, name: str) -> RemoteFolder:
        """The folder `name` in this one."""
        return RemoteFolder(
            self.place, {**self.spec, "path": f"{self.spec.get('path', '')}{name}/"}
        )


def open_folder(place: str | os.PathLike[str]) -> Folder:
    """The folder at a location as users write it; it need not exist yet.

    Raises:
      UsageError: the location is malformed.
    """
    place = os.fspath(place)
    return folder_at(place, parse_location(place))


def folder_at(place: str, location: Location) -> Folder:
    """The folder at a location; `place` names it in messages."""
    if isinstance(location, Path):
        return LocalFolder(place, location)
    return RemoteFolder(place, location)
