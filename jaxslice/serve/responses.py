"""Answers to HTTP requests: conditional and range requests (RFC 9110), gzip, CORS."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

GZIP_LEAST_BYTES = 1024
"""What is shorter is not worth compressing."""

_GZIP_LEVEL = 1

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-None-Match, If-Match, If-Range, Content-Type",
    # Otherwise a page cannot see these headers of an answer from another origin.
    "Access-Control-Expose-Headers": "Content-Range, Content-Length, Content-Encoding, ETag",
    "Access-Control-Max-Age": "86400",
    # Browsers ask before a page of the Internet may read from this machine.
    "Access-Control-Allow-Private-Network": "true",
}


@dataclasses.dataclass(frozen=True)
class Resource:
    """Something that can be asked for.

    Attributes:
      etag: of its bytes, without quotes.
      content_type: of its bytes.
      length: bytes.
      body: makes the bytes.
      compress: whether to send it compressed to those who accept that.
    """

    etag: str
    content_type: str
    length: int
    body: Callable[[], Awaitable[bytes]]
    compress: bool


def resource_of(data: bytes, etag: str, content_type: str) -> Resource:
    """A resource of bytes that are there already."""

    async def body() -> bytes:
        return data

    return Resource(etag, content_type, len(data), body, compress=True)


async def answer(request: web.Request, resource: Resource) -> web.Response:
    """Answers a GET or HEAD request.

    The bytes are made only if they are sent: not for HEAD, and not if the client has them.

    Raises:
      web.HTTPException: 412 or 416, what was asked for cannot be.
    """
    zipped = (
        resource.compress
        and resource.length >= GZIP_LEAST_BYTES
        and "Range" not in request.headers
        and _accepts_gzip(request.headers.get("Accept-Encoding", ""))
    )
    # Compressed bytes are another representation, and need a tag of their own.
    etags = {f'"{resource.etag}"', f'"{resource.etag}-gzip"'}
    etag = f'"{resource.etag}-gzip"' if zipped else f'"{resource.etag}"'
    headers = {
        "ETag": etag,
        # Clients keep what they have and ask whether it still holds.
        "Cache-Control": "no-cache",
        "Accept-Ranges": "bytes",
        "Vary": "Accept-Encoding",
    }
    wanted = request.headers.get("If-Match")
    if wanted is not None and not _matches(wanted, etags):
        raise web.HTTPPreconditionFailed(text="The volume has changed.\n")
    if _matches(request.headers.get("If-None-Match", ""), etags):
        return web.Response(status=304, headers=headers)
    span = _span(request, resource, etag)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{resource.length}"
    status, span = (206, span) if span is not None else (200, range(resource.length))
    content_type = resource.content_type
    if request.method == "HEAD":
        if not zipped:
            headers["Content-Length"] = str(len(span))
        return web.Response(status=status, headers=headers, content_type=content_type)
    body = (await resource.body())[span.start : span.stop]
    if zipped:
        headers["Content-Encoding"] = "gzip"
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(None, gzip.compress, body, _GZIP_LEVEL)
    return web.Response(status=status, headers=headers, body=body, content_type=content_type)


def _matches(header: str, etags: set[str]) -> bool:
    """Whether a list of tags, or `*`, holds one of those given. Weak tags compare like strong."""
    if header.strip() == "*":
        return True
    found = re.findall(r'(?:W/)?("[^"]*")', header)
    return not etags.isdisjoint(found)


def _accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return re.fullmatch(r"q=0(\.0*)?", weight.strip()) is None
    return False


def _span(request: web.Request, resource: Resource, etag: str) -> range | None:
    """The bytes that are asked for; None for all. What is no single range is ignored."""
    if request.headers.get("If-Range", etag) != etag:
        return None
    found = re.fullmatch(
        r"\s*bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", request.headers.get("Range", "")
    )
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    length = resource.length
    if first == "":
        span = range(max(0, length - int(last)), length)
    else:
        span = range(int(first), min(length, int(last) + 1) if last else length)
        if last and int(last) < int(first):
            return None
    if not span:
        raise web.HTTPRequestRangeNotSatisfiable(
            text="No such bytes.\n", headers={"Content-Range": f"bytes */{length}"}
        )
    return span
