"""Where files are: locations as users write them, and TensorStore's view of them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from jaxslice.core.errors import StorageError, UsageError
from jaxslice.storage.redirects import moved
from jaxslice.storage.store_options import credentials_of_s3, store_options
from jaxslice.storage.url import told

Location: TypeAlias = Path | dict[str, Any]
"""The absolute path of a local file or folder, or TensorStore's description of a remote folder."""

SCHEMES = ("file", "http", "https", "gs", "s3")
OPEN_TIMEOUT_SECONDS = 60.0
# TensorStore waits twice as long after each try, and a random part of a second longer.
RETRIES = {"initial_delay": "200ms", "max_delay": "5s"}


_FAULTS = re.compile(
    r"^(ABORTED|UNAVAILABLE|DEADLINE_EXCEEDED|UNAUTHENTICATED|RESOURCE_EXHAUSTED|CANCELLED)\b"
    r"|HTTP code|CURL error|retry attempts|[Cc]redential"
)


def parse_location(place: str | os.PathLike[str]) -> Location:
    """Reads where a volume or an archive is, as users write it.

    Args:
      place: a path or a URL, as `url.told` takes it apart. What format it is said to hold is
        ignored here.

    Raises:
      UsageError: the URL is malformed or of a kind that is not supported.
    """
    place = os.fspath(place)
    url, containers, inside, _ = told(place)
    expected = f"a path or a URL with one of {'://, '.join(SCHEMES)}://"
    scheme = re.match(r"([\w.+-]+)://", url)
    if scheme is None:
        if not url:
            raise UsageError(f"Got {place!r}, expected {expected}.")
        path = Path(os.path.abspath(url))
        if not containers:
            return path / inside if inside else path
        url = path.as_uri()
    elif scheme[1] not in SCHEMES:
        raise UsageError(f"Got {place!r} with the scheme {scheme[1]}://, expected {expected}.")
    import tensorstore as ts

    try:
        spec = ts.KvStore.Spec("|".join((url, *containers))).to_json()
    # RuntimeError: a text that UTF-8 cannot say, such as bytes of another encoding.
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"Got {place!r}, which is no valid URL: {one_line(error)}.") from error
    if spec["driver"] == "file":
        return Path(os.path.abspath(spec["path"])) / inside
    if spec.get("path") or inside:
        path = f"{spec.get('path', '').rstrip('/')}/{inside}".rstrip("/") + "/"
        # Only HTTP's paths begin with a slash.
        spec["path"] = path if spec.get("path") or spec["driver"] == "http" else path.lstrip("/")
    return store_options().reaching(spec)


def public_name(place: str | os.PathLike[str]) -> str:
    """What may be recorded of a location: nothing secret, nothing of the machine.

    A URL keeps its scheme, host and path, and loses user, password, query and fragment, where
    signatures and tokens stand. Of a local path the last component remains.
    """
    url = told(os.fspath(place)).url
    remote = re.match(r"(?!file://)([\w.+-]+://)(?:[^/?#]*@)?([^?#]*)", url)
    if remote:
        return remote[1] + remote[2]
    return re.split(r"[\\/]", url.rstrip("\\/"))[-1]


def last_name(location: Location) -> str:
    """The last component of a location's path; empty for the root of a bucket or server."""
    path = location.get("path", "") if isinstance(location, dict) else str(location)
    return path.rstrip("/").rpartition("/")[2]


def kvstore_spec(location: Location) -> dict[str, Any]:
    """TensorStore's description of the folder at a location of `parse_location`."""
    if isinstance(location, dict):
        return moved(location)
    return {"driver": "file", "path": f"{str(location).rstrip('/')}/"}


def storage_context(*, sync: bool = True, cache_bytes: int = 0) -> Any:
    """A TensorStore context with few retries.

    Args:
      sync: whether a local write waits until the file and its folder are on disk.
      cache_bytes: most memory for what was read or is to be written.
    """
    import tensorstore as ts

    options = store_options()
    # The library reads these when it sends its first request; what the user set stays.
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES", "1")
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS", str(options.stalled_seconds()))
    tries = {"max_retries": options.retries, **RETRIES}
    retries = {f"{kind}_request_retries": tries for kind in ("http", "gcs", "s3")}
    cache = {"total_bytes_limit": cache_bytes}
    return ts.Context({"cache_pool": cache, "file_io_sync": sync, **retries})


@contextlib.contextmanager
def unreachable_is_usage_error(place: str) -> Iterator[None]:
    """Turns the errors while `place` is being opened into a `UsageError`, but for faults.

    Raises:
      StorageError: the store does not answer, fails or refuses; the caller may be right.
      UsageError: anything else.
    """
    shown = without_secrets(place)
    try:
        yield
    except StorageError:
        raise
    except UsageError:
        raise
    except TimeoutError as error:
        raise StorageError(f"Cannot open {shown!r}: {one_line(error)}.") from error
    except OSError as error:
        raise UsageError(f"Cannot open {shown!r}: {error.strerror or error}.") from error
    except ValueError as error:
        if is_fault(error):
            raise StorageError(f"Cannot open {shown!r}: {explained(error)}") from error
        raise UsageError(f"Cannot open {shown!r}: {one_line(error)}.") from error


def one_line(error: Exception) -> str:
    """The message of an error on one line, without TensorStore's status words and details."""
    text = re.sub(r"^[A-Z_]+: ", "", str(error))
    text = re.sub(r"\s*\[\w[\w-]*='.*\]", "", text, flags=re.DOTALL)
    return " ".join(text.split()).rstrip(".")


def is_fault(error: Exception) -> bool:
    """Whether a store failed or refused, rather than held something that cannot be."""
    if isinstance(error, OSError):
        return isinstance(error, StorageError | TimeoutError)
    return _FAULTS.search(str(error)) is not None


def explained(error: Exception) -> str:
    """What a store's fault was, in sentences that say what to do about it."""
    text = str(error)
    said = without_secrets(one_line(error)) + "."
    if re.search(r"HTTP code 30\d", text):
        return f"{said} The server redirects elsewhere; give the address that it leads to."
    if "bad HTTP Content or Transfer-Encoding" in text:
        return (
            f"{said} The server names an encoding that HTTP does not know, such as aws-chunked, or"
            " one that the object is not in; set the Content-Encoding of the objects to gzip alone,"
            " or copy them to a folder."
        )
    if "credential" in text.lower():
        return f"{said} A public bucket is read with --store_anonymous."
    if re.search(r"ExpiredToken|[Ee]xpired", text):
        return f"{said} The credentials or the signed URL are no longer valid."
    if re.search(r"<Error>|AccessDenied|Access Denied", text) and _without_credentials():
        return f"{said} No credentials were found, in AWS_ACCESS_KEY_ID or ~/.aws."
    return said


def _without_credentials() -> bool:
    options = store_options()
    return not options.anonymous and credentials_of_s3(os.environ) == "anonymous"


def without_secrets(text: str) -> str:
    """A text without the users, passwords, queries and fragments of the URLs in it."""
    text = re.sub(r"(\w://)[^/?#\s'\"]*@", r"\1", text)
    return re.sub(r"(\w://[^\s'\"?#]*)[?#][^\s'\"|]*", r"\1", text)


def is_refused(error: Exception) -> bool:
    """Whether a server refuses to say if an object is there.

    A bucket that nobody may list answers so for each object that it does not have.
    """
    return re.search(r"PERMISSION_DENIED|\b40[13]\b|Forbidden|AccessDenied", str(error)) is not None
