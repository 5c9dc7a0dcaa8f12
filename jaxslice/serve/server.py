"""Starts and stops the server, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jaxslice.core.errors import MissingExtraError, UsageError
from jaxslice.serve.blocks import BlockCache
from jaxslice.serve.viewer import public_link
from jaxslice.serve.volume import ServedVolume, names_for, open_served

if TYPE_CHECKING:
    from jaxslice.serve.app import Site
    from jaxslice.serve.connections import Connections

CACHE_BYTES, MOST_CONNECTIONS = 10**9, 1000
LOOPBACK, PORT = "127.0.0.1", 9000

_BACKLOG = 512
"""Connections that wait to be accepted."""

_STOP_SECONDS = 2.0
"""Time for answers that are being sent when the server stops."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
      url: of the server, without a slash at the end.
      links: for each volume, by name, a link that opens it in the public Neuroglancer.
      site: what is served.
    """

    url: str
    links: dict[str, str]
    site: Site = dataclasses.field(repr=False)

    def counts(self) -> dict[str, Any]:
        """What the cache has done so far."""
        return dataclasses.asdict(self.site.cache.counts)


@contextlib.contextmanager
def serving(
    archives: Sequence[str | os.PathLike[str]],
    *,
    host: str = LOOPBACK,
    port: int = 0,
    cache_bytes: int = CACHE_BYTES,
    gzip: str = "auto",
    most_connections: int = MOST_CONNECTIONS,
) -> Iterator[Server]:
    """Serves archives as long as the `with` block lasts.

    Args:
      archives: paths or URLs.
      host: address to listen at; by default only programs on this machine can connect.
      port: to listen at; 0 takes a free one.
      cache_bytes: most memory for decoded blocks.
      gzip: whether voxels are sent compressed: always, never, or auto: to other machines.
      most_connections: at the same time; fewer where the process may not open as many files.

    Yields:
      The server, with links.

    Raises:
      UsageError: there is no archive, or the address cannot be listened at.
      FormatError: the metadata of an archive are damaged.
      MissingExtraError: aiohttp is not installed.
    """
    try:
        from jaxslice.serve.app import RESERVED
        from jaxslice.serve.connections import Connections
    except ImportError:
        raise MissingExtraError(
            "Serving archives needs aiohttp: pip install 'jaxslice[serve]'."
        ) from None
    names = names_for(archives, RESERVED)
    volumes = [open_served(os.fspath(p), n) for p, n in zip(archives, names, strict=True)]
    started: asyncio.Future[tuple[Server, asyncio.Event]]
    loop = asyncio.new_event_loop()
    started = loop.create_future()
    connections = Connections(most_connections)
    options = (volumes, host, port, cache_bytes, gzip, connections)
    thread = threading.Thread(target=_run, args=(loop, started, *options), name="serve")
    ready = threading.Event()
    started.add_done_callback(lambda _: ready.set())
    thread.start()
    ready.wait()
    try:
        try:
            server, stop = started.result()
        except OSError as error:
            raise UsageError(
                f"Cannot listen at {host}:{port}: {error.strerror or error}."
            ) from error
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(stop.set)
    finally:
        thread.join()


def _run(
    loop: asyncio.AbstractEventLoop,
    started: asyncio.Future[tuple[Server, asyncio.Event]],
    volumes: list[ServedVolume],
    host: str,
    port: int,
    cache_bytes: int,
    gzip: str,
    connections: Connections,
) -> None:
    async def main() -> None:
        try:
            await _serve(started, volumes, host, port, cache_bytes, gzip, connections)
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    with contextlib.closing(loop):
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())


async def _serve(
    started: asyncio.Future[tuple[Server, asyncio.Event]],
    volumes: list[ServedVolume],
    host: str,
    port: int,
    cache_bytes: int,
    gzip: str,
    connections: Connections,
) -> None:
    from aiohttp import web

    from jaxslice.serve.app import Site, make_app, warm_up

    cache = BlockCache(cache_bytes)
    site = Site({volume.name: volume for volume in volumes}, cache, gzip)
    # A client that goes away gives up its place in the queue.
    runner = web.AppRunner(
        make_app(site, connections.middleware()), handler_cancellation=True,
        shutdown_timeout=_STOP_SECONDS,
    )  # fmt: skip
    await runner.setup()
    assert runner.server
    protocols = connections.protocols(runner.server, _http_log())
    listener = None
    try:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(protocols, host, port, backlog=_BACKLOG)
        name, taken, *_ = listener.sockets[0].getsockname()
        url = f"http://{_host_in_url(name)}:{taken}"
        warm_up(volumes, cache)
        stop = asyncio.Event()
        links = {volume.name: public_link(volume, url) for volume in volumes}
        started.set_result((Server(url, links, site), stop))
        await stop.wait()
    finally:
        if listener is not None:
            listener.close()
        await runner.cleanup()
        await cache.close()


def _http_log() -> logging.Logger:
    """The log of aiohttp, without what clients send that is no HTTP: they get a 400."""
    from aiohttp.http import HttpProcessingError

    def keep(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)

    log = logging.getLogger("jaxslice.serve.http")
    log.filters = [keep]
    return log


def _host_in_url(address: str) -> str:
    """What to write into links: a server that listens everywhere has no address of its own."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified:
        return socket.gethostname()
    return f"[{address}]" if parsed.version == 6 else address
