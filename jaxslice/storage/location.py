"""Where files are: locations as users write them, TensorStore's view of them, safe replacement."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxslice.core.errors import UsageError

SCHEMES = ("file", "http", "https", "gs", "s3")
SUPPORTED = (
    "a [z,y,x] uint8 .npy file, or a neuroglancer precomputed image volume with one uint8 channel"
    f" (a folder, or a URL with one of {'://, '.join(SCHEMES)}://)"
)
OPEN_TIMEOUT_SECONDS = 60.0
CACHE_LIMIT_BYTES = 256 * 2**20
# TensorStore's own default is 32 tries, up to half a minute apart: many minutes for a typing error.
RETRIES = {"max_retries": 4, "initial_delay": "200ms", "max_delay": "3s"}


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
