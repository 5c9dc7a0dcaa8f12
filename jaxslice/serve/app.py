"""The URLs of the server, and what answers them.

/                             a page with links
/stats                        what the cache has done, as JSON
/neuroglancer/...             the viewer, where it is installed
/NAME/precomputed/...         info, SCALE/x0-x1_y0-y1_z0-z1
/NAME/zarr/...                zarr.json, SCALE/zarr.json, SCALE/c/z/y/x
"""

from __future__ import annotations

import dataclasses
import hashlib
import html
import ipaddress
import json
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError
from jaxslice.core.shorten import shortened
from jaxslice.serve import precomputed, zarr_view
from jaxslice.serve.blocks import BlockCache
from jaxslice.serve.connections import Handler, Middleware
from jaxslice.serve.responses import CORS, Resource, answer, resource_of
from jaxslice.serve.viewer import public_link
from jaxslice.serve.volume import ServedVolume, read_box

JSON, BINARY = "application/json", "application/octet-stream"
RESERVED = ("stats",)
"""Names that no volume can have."""

GZIP = ("auto", "always", "never")
"""Whether voxels are sent compressed; auto does so for clients on other machines."""

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Site:
    """What is served.

    Attributes:
      volumes: by name.
      cache: of decoded blocks.
      gzip: one of GZIP.
    """

    volumes: dict[str, ServedVolume]
    cache: BlockCache
    gzip: str = "auto"

    async def page(self, request: web.Request) -> web.Response:
        """The page with links."""
        base = f"{request.scheme}://{request.host}"
        rows = "".join(
            f"<li><a href='{html.escape(public_link(volume, base))}'>"
            f"{html.escape(name)}</a> {volume.scales[0].shape} "
            f"<a href='{name}/precomputed/info'>precomputed</a> "
            f"<a href='{name}/zarr/zarr.json'>zarr</a></li>"
            for name, volume in self.volumes.items()
        )
        text = (
            "<!doctype html><meta name=viewport content='width=device-width'>"
            f"<title>jaxslice</title><h1>jaxslice</h1><ul>{rows}</ul>"
        )
        return await _whole(request, text.encode(), "text/html")

    async def stats(self, request: web.Request) -> web.Response:
        """What the cache has done."""
        counts = {**dataclasses.asdict(self.cache.counts), "kept_bytes": self.cache.kept_bytes}
        return await _whole(request, json.dumps(counts).encode(), JSON)

    async def precomputed_info(self, request: web.Request) -> web.Response:
        """The info file of a volume."""
        volume = self._volume(request)
        return await _document(request, volume, precomputed.info(volume))

    async def precomputed_chunk(self, request: web.Request) -> web.Response:
        """A chunk of a volume, without what lies outside."""
        volume, scale = self._scale(request)
        box = precomputed.box_of_chunk(volume, scale, request.match_info["chunk"])
        if box is None:
            raise _not_found("No such chunk.")

        async def body() -> bytes:
            voxels = await read_box(volume.scales[scale], box, self.cache)
            return precomputed.chunk_bytes(voxels)

        length = box.size * volume.dtype.itemsize
        return await self._chunk(request, volume, scale, box, length, body)

    async def zarr_group(self, request: web.Request) -> web.Response:
        """The group of a volume."""
        volume = self._volume(request)
        return await _document(request, volume, zarr_view.group_json(volume))

    async def zarr_array(self, request: web.Request) -> web.Response:
        """The array of a scale."""
        volume, scale = self._scale(request)
        return await _document(request, volume, zarr_view.array_json(volume, scale))

    async def zarr_chunk(self, request: web.Request) -> web.Response:
        """A chunk of a scale, always whole."""
        volume, scale = self._scale(request)
        box = zarr_view.box_of_chunk(volume, scale, request.match_info["chunk"])
        if box is None:
            raise _not_found("No such chunk.")
        shape = volume.chunk_shape(scale)

        async def body() -> bytes:
            voxels = await read_box(volume.scales[scale], box, self.cache)
            return zarr_view.chunk_bytes(voxels, shape)

        length = math.prod(shape) * volume.dtype.itemsize
        return await self._chunk(request, volume, scale, box, length, body)

    async def _chunk(
        self, request: web.Request, volume: ServedVolume, scale: int, box: Box, length: int,
        body: Callable[[], Awaitable[bytes]],
    ) -> web.Response:  # fmt: skip
        compress = self.gzip == "always" or (self.gzip == "auto" and not _is_local(request))
        etag = f"{volume.identity}-{scale}-{box}-{length}"
        return await answer(request, Resource(etag, BINARY, length, body, compress))

    def _volume(self, request: web.Request) -> ServedVolume:
        volume = self.volumes.get(request.match_info["name"])
        if volume is None:
            raise _not_found("No such volume.")
        return volume

    def _scale(self, request: web.Request) -> tuple[ServedVolume, int]:
        volume, scale = self._volume(request), request.match_info["scale"]
        if scale not in map(str, range(len(volume.scales))):
            raise _not_found("No such scale.")
        return volume, int(scale)


def make_app(site: Site, send: Middleware) -> web.Application:
    """The server's URLs.

    Args:
      site: what is served.
      send: what sends the answers.
    """
    app = web.Application(middlewares=[send, _tidy_errors])
    app.on_response_prepare.append(_add_cors)
    answers = {
        "/": site.page,
        "/stats": site.stats,
        "/{name}/precomputed/info": site.precomputed_info,
        "/{name}/precomputed/{scale}/{chunk}": site.precomputed_chunk,
        "/{name}/zarr/zarr.json": site.zarr_group,
        "/{name}/zarr/{scale}/zarr.json": site.zarr_array,
        "/{name}/zarr/{scale}/{chunk:c/.*}": site.zarr_chunk,
        "/{path:.*}": _nothing,
    }
    for path, handler in answers.items():
        app.router.add_get(path, handler, expect_handler=_expected)
    others = app.router.add_resource("/{path:.*}")
    others.add_route("OPTIONS", _preflight, expect_handler=_expected)
    others.add_route("*", _not_allowed, expect_handler=_expected)
    return app


async def _expected(_request: web.Request) -> None:
    """Whatever a client expects before it sends a body: no body is read, so it gets its answer."""


async def _not_allowed(request: web.Request) -> web.Response:
    raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD", "OPTIONS"])


async def _nothing(_request: web.Request) -> web.Response:
    raise _not_found("Nothing here.")


async def _preflight(_request: web.Request) -> web.Response:
    return web.Response(status=204)


async def _add_cors(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(CORS)


@web.middleware
async def _tidy_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors become an answer of one line. Those that are no fault of the client are logged."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except FormatError as error:
        message = shortened(str(error))
        _LOG.warning("%s: %s", request.path, message)
        return web.Response(status=500, text=f"Damaged data: {message}\n")
    except OSError as error:
        _LOG.warning("%s: %s", request.path, shortened(str(error)))
        return web.Response(status=502, text="The storage of the volume cannot be reached.\n")
    except Exception:
        _LOG.exception("%s", request.path)
        return web.Response(status=500, text="The server failed; see its log.\n")


async def _whole(request: web.Request, data: bytes, content_type: str) -> web.Response:
    digest = hashlib.sha256(data).hexdigest()[:32]
    return await answer(request, resource_of(data, digest, content_type))


async def _document(request: web.Request, volume: ServedVolume, data: bytes) -> web.Response:
    digest = hashlib.sha256(data).hexdigest()[:16]
    return await answer(request, resource_of(data, f"{volume.identity}-{digest}", JSON))


def _is_local(request: web.Request) -> bool:
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _not_found(text: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"{text}\n")


def warm_up(volumes: Sequence[ServedVolume], cache: BlockCache) -> None:
    """Decodes the block in the middle of each volume, which a viewer asks for first."""
    for volume in volumes:
        coarsest = volume.scales[-1]
        z, y, x = (n // 2 // size for n, size in zip(coarsest.shape, coarsest.chunks, strict=True))
        cache.prefetch(coarsest, (z, y, x))
