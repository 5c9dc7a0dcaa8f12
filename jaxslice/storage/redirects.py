"""Web servers that send readers elsewhere: found once for a folder, and then gone to directly.

TensorStore does not follow redirects. Where the first object of a folder is redirected, the address
that it leads to is taken for that of the whole folder. Users, passwords and queries of the old
address never go to another host.
"""

from __future__ import annotations

import base64
import http.client
import re
import threading
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from jaxslice.core.errors import StorageError
from jaxslice.storage.store_options import store_options

MOST_HOPS = 10

_REDIRECT = re.compile(r"HTTP code 30[12378]\b")

_lock = threading.Lock()
_found: dict[tuple[str, str], tuple[str, str]] = {}


def is_redirect(error: Exception) -> bool:
    """Whether a web server said that what was asked for is elsewhere."""
    return _REDIRECT.search(str(error)) is not None


def moved(spec: dict[str, Any]) -> dict[str, Any]:
    """TensorStore's description of a folder or file, where it is as far as is known."""
    if spec.get("driver") != "http":
        return spec
    base, path = spec["base_url"], spec.get("path", "")
    with _lock:
        known = dict(_found)
    for (old_base, old_path), (new_base, new_path) in known.items():
        if base == old_base and path.startswith(old_path):
            return {**spec, "base_url": new_base, "path": new_path + path[len(old_path) :]}
    return spec


def follow(spec: dict[str, Any], key: str, seconds: float, *, is_file: bool = False) -> None:
    """Finds where the objects of a folder are, from one of them, for `moved` to tell.

    Args:
      spec: TensorStore's description of the folder, whose path ends with a slash.
      key: of the object that was redirected.
      seconds: most time for each request, below that of the store options.
      is_file: whether that object is all that is wanted of the folder.

    Raises:
      StorageError: the redirects go in a circle, or each object has an address of its own.
    """
    seconds = min(seconds, store_options().timeout_seconds)
    folder = spec.get("path", "") or "/"
    base = urlsplit(spec["base_url"])
    query = f"?{base.query}" if base.query else ""
    target = _target(f"{base.scheme}://{base.netloc}{folder}{key}{query}", seconds)
    new_base = f"{target.scheme}://{target.netloc}" + (f"?{target.query}" if target.query else "")
    if is_file:
        old, new = f"{folder}{key}", target.path
    elif target.query not in ("", base.query) or not unquote(target.path).endswith(
        f"/{unquote(key)}"
    ):
        raise StorageError(
            f"{_shown(spec, key)} is redirected to {target.netloc}{target.path}, which is no folder"
            " of all objects; give the address of one."
        )
    else:
        old, new = folder, target.path[: len(target.path) - len(key)]
    with _lock:
        _found[spec["base_url"], old] = new_base, new


def _target(url: str, seconds: float) -> Any:
    first = urlsplit(url)
    seen = []
    while True:
        parts = urlsplit(url)
        seen.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        if len(seen) > MOST_HOPS or seen[-1] in seen[:-1]:
            raise StorageError(f"Got redirects in a circle: {' to '.join(seen[:MOST_HOPS])}.")
        same_host = (parts.scheme, parts.netloc) == (first.scheme, first.netloc)
        try:
            location = _location_said(parts, parts.username is not None and same_host, seconds)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise StorageError(f"Cannot follow {' to '.join(seen)}: {error}.") from error
        if location is None:
            return parts
        url = urljoin(url, location)
        following = urlsplit(url)
        if following.scheme not in ("http", "https") or (parts.scheme, following.scheme) == (
            "https", "http",
        ):  # fmt: skip
            raise StorageError(
                f"{seen[-1]} is redirected to {following.scheme}://{following.netloc}, expected"
                " https: the address is not followed."
            )


def _location_said(parts: Any, with_user: bool, seconds: float) -> str | None:
    """Where a server says that an address leads; None for one that leads nowhere else."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=seconds)
    headers = {"Range": "bytes=0-0"}
    if with_user:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    try:
        query = f"?{parts.query}" if parts.query else ""
        connection.request("GET", f"{parts.path or '/'}{query}", headers=headers)
        response = connection.getresponse()
        is_moved = response.status in (301, 302, 303, 307, 308)
        return response.getheader("Location") if is_moved else None
    finally:
        connection.close()


def _shown(spec: dict[str, Any], key: str) -> str:
    base = urlsplit(spec["base_url"])
    return f"{base.scheme}://{base.netloc.rpartition('@')[2]}{spec.get('path', '')}{key}"
