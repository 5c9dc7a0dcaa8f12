"""Where files are: locations as users write them, TensorStore's view of them, safe replacement."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxslice.errors import UsageError

SCHEMES = ("file", "http", "https", "gs", "s3")
SUPPORTED = (
    "a [z,y,x] uint8 .npy file, or a neuroglancer precomputed image volume with one uint8 channel"
    f" (a folder, or a URL with one of {'://, '.join(SCHEMES)}://)"
)
OPEN_TIMEOUT_SECONDS = 60.0
CACHE_LIMIT_BYTES = 256 * 2**20
# TensorStore's own default is 32 tries, up to half a minute apart: many minutes for a typing error.
RETRIES = {"max_retries": 4, "initial_delay": "200ms", "max_delay": "3s"}


@dataclasses.dataclass(frozen=True)
class Replaceable:
    """A kind of file or folder that `--overwrite` may replace.

    Attributes:
      name: with its article, for messages.
      is_one: whether what stands at a path is of that kind.
    """

    name: str
    is_one: Callable[[Path], bool]


def parse_location(place: str) -> Path | dict[str, Any]:
    """Reads where a volume is, as users write it.

    Returns:
      The absolute path of a local volume, or TensorStore's description of a remote folder.

    Raises:
      UsageError: the URL is malformed or of a kind that is not supported.
    """
    url = re.sub(r"\|(neuroglancer-)?precomputed:?$", "", place.removeprefix("precomputed://"))
    scheme = re.match(r"([\w.+-]+)://", url)
    if scheme is None:
        if not url:
            raise UsageError(f"Got {place!r}, expected {SUPPORTED}.")
        return Path(os.path.abspath(url))
    if scheme[1] not in SCHEMES:
        raise UsageError(f"Got {place!r} with the scheme {scheme[1]}://, expected {SUPPORTED}.")
    import tensorstore as ts

    try:
        spec = ts.KvStore.Spec(url).to_json()
    except ValueError as error:
        raise UsageError(f"Got {place!r}, which is no valid URL: {one_line(error)}.") from error
    if spec["driver"] == "file":
        return Path(os.path.abspath(spec["path"]))
    if spec.get("path"):
        spec["path"] = spec["path"].rstrip("/") + "/"
    # A URL cannot say where an S3 service other than Amazon's is, and TensorStore does not read
    # the variables that other programs read.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if spec["driver"] == "s3" and endpoint:
        spec |= {"endpoint": endpoint.rstrip("/")} | ({"aws_region": region} if region else {})
    return spec


def kvstore_spec(location: Path | dict[str, Any]) -> dict[str, Any]:
    """TensorStore's description of the folder at a location of `parse_location`."""
    if isinstance(location, dict):
        return location
    return {"driver": "file", "path": f"{str(location).rstrip('/')}/"}


def storage_context() -> Any:
    """A TensorStore context with a bounded cache and few retries."""
    import tensorstore as ts

    retries = {f"{kind}_request_retries": RETRIES for kind in ("http", "gcs", "s3")}
    return ts.Context({"cache_pool": {"total_bytes_limit": CACHE_LIMIT_BYTES}, **retries})


def read_info(place: str, kvstore: dict[str, Any], context: Any) -> bytes | None:
    """The bytes of the `info` file of a precomputed volume, or None if it has none.

    Raises:
      UsageError: the storage cannot be reached or refuses.
    """
    import tensorstore as ts

    with unreachable_is_usage_error(place):
        folder = ts.KvStore.open(ts.KvStore.Spec(kvstore), context=context).result()
        found = folder.read("info").result(OPEN_TIMEOUT_SECONDS)
    return found.value if found.state == "value" else None


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

    return Folder(read, write, total_bytes, lambda: _remove(root))


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


@contextlib.contextmanager
def unreachable_is_usage_error(place: str) -> Iterator[None]:
    """Turns TensorStore's errors while `place` is being opened into a `UsageError`."""
    try:
        yield
    except TimeoutError as error:
        raise UsageError(
            f"Cannot open {place!r}: no answer within {OPEN_TIMEOUT_SECONDS:g} seconds."
        ) from error
    except ValueError as error:
        raise UsageError(f"Cannot open {place!r}: {one_line(error)}.") from error


def one_line(error: Exception) -> str:
    """The message of an error on one line, without TensorStore's status words and details."""
    text = re.sub(r"^[A-Z_]+: ", "", str(error))
    text = re.sub(r"\s*\[\w[\w-]*='.*\]", "", text, flags=re.DOTALL)
    return " ".join(text.split()).rstrip(".")


@contextlib.contextmanager
def renamed_at_the_end(
    dest: str, location: Path, kind: Replaceable, overwrite: bool
) -> Iterator[Path]:
    """A name to write under; becomes `location` at the end, or is removed on an exception.

    Args:
      dest: the location as the user wrote it, for messages.
      location: where the file or folder is to stand.
      kind: what may be replaced there.
      overwrite: whether to replace it.

    Raises:
      UsageError: something stands there that may not be replaced, or the place cannot be written.
    """
    # What a link points to is replaced, not the link.
    final = Path(os.path.realpath(location))
    _check_replaceable(dest, final, kind, overwrite)
    if not final.parent.is_dir():
        raise UsageError(f"Cannot create {dest!r}: there is no folder {str(final.parent)!r}.")
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    partial = final.with_name(f".{final.name}.partial-{unique}")
    try:
        yield partial
        # Asked again, because someone may have written there in the meantime.
        _check_replaceable(dest, final, kind, overwrite)
        try:
            _replace(partial, final, final.with_name(f".{final.name}.replaced-{unique}"))
        except OSError as error:
            raise UsageError(f"Cannot create {dest!r}: {error.strerror}.") from error
    finally:
        _remove(partial)


def _check_replaceable(dest: str, final: Path, kind: Replaceable, overwrite: bool) -> None:
    if not os.path.lexists(final):
        return
    if not overwrite:
        raise UsageError(f"Got {dest!r}, which exists, expected a new name or --overwrite.")
    if not kind.is_one(final):
        raise UsageError(f"Got {dest!r}, which is not {kind.name}, so it is not overwritten.")


def _replace(partial: Path, final: Path, aside: Path) -> None:
    if not final.is_dir():
        os.replace(partial, final)
        return
    os.rename(final, aside)
    try:
        os.rename(partial, final)
    except OSError:
        os.rename(aside, final)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
