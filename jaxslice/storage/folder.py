"""Folders of objects, local or remote."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxslice.storage.location import (
    OPEN_TIMEOUT_SECONDS,
    kvstore_spec,
    one_line,
    parse_location,
    storage_context,
    unreachable_is_usage_error,
)
from jaxslice.storage.replace import remove


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of objects with keys such as `0/c/1/2/3`, local or remote.

    Local files are written under another name and renamed, so that no reader sees half of one.
    `total_bytes` is None where asking would mean to read every object.
    """

    read: Callable[[str], bytes | None]
    write: Callable[[str, bytes], None]
    total_bytes: Callable[[], int | None]
    delete_all: Callable[[], None]


def open_folder(place: str) -> Folder:
    """The folder at a location as users write it; it need not exist yet.

    Raises:
      UsageError: the location is malformed, or the storage cannot be reached.
    """
    location = parse_location(place) if place else Path()
    return (
        _local_folder(location) if isinstance(location, Path) else _remote_folder(place, location)
    )


def _local_folder(root: Path) -> Folder:
    def read(key: str) -> bytes | None:
        try:
            return (root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(key: str, data: bytes) -> None:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        os.replace(partial, path)

    def total_bytes() -> int:
        return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

    return Folder(read, write, total_bytes, lambda: remove(root))


def _remote_folder(place: str, location: dict[str, Any]) -> Folder:
    import tensorstore as ts

    with unreachable_is_usage_error(place):
        store = ts.KvStore.open(
            ts.KvStore.Spec(kvstore_spec(location)), context=storage_context()
        ).result(OPEN_TIMEOUT_SECONDS)

    def read(key: str) -> bytes | None:
        with unreachable_is_usage_error(place):
            found = store.read(key).result()
        return found.value if found.state == "value" else None

    def write(key: str, data: bytes) -> None:
        try:
            store.write(key, data).result()
        except ValueError as error:
            raise OSError(f"Cannot write {key!r} of {place!r}: {one_line(error)}.") from error

    def delete_all() -> None:
        store.delete_range(ts.KvStore.KeyRange()).result()

    return Folder(read, write, lambda: None, delete_all)
