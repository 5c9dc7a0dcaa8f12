"""What clients send to `jaxslice serve`, byte by byte, without a socket.

Whatever it is, the server answers with no 5xx, logs no error, its cache stays within bounds, and it
forgets the connection when that is lost.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from pathlib import Path
from typing import Any

from aiohttp import web

from fuzz.target import Target
from jaxslice.serve.app import Site, make_app
from jaxslice.serve.blocks import BlockCache
from jaxslice.serve.connections import Connection, Connections
from jaxslice.serve.server import _http_log
from jaxslice.serve.volume import open_served

ARCHIVE = Path(__file__).parents[2] / "tests" / "golden" / "v4" / "scales.zarr"
CACHE_BYTES = 20_000
MOST_CONNECTIONS = 4
MOST_TURNS = 20_000
"""Turns of the event loop, at which a request must have its answer."""


class _Transport(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits to be sent."""

    def pause_reading(self) -> None:
        """Everything is there already."""

    def resume_reading(self) -> None:
        """Everything is there already."""


class _Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


class _Server:
    """The server's protocol, and what went wrong in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.errors = _Errors()
        logging.getLogger("jaxslice.serve").addHandler(self.errors)
        self.loop.set_exception_handler(lambda _, said: self.errors.found.append(repr(said)))
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self.cache = BlockCache(CACHE_BYTES)
        site = Site({"a": open_served(str(ARCHIVE), "a")}, self.cache)
        self.connections = Connections(MOST_CONNECTIONS)
        app = make_app(site, self.connections.middleware())
        self.runner = web.AppRunner(app, handler_cancellation=True)
        await self.runner.setup()

    async def answers(self, data: bytes) -> bytes:
        """What a connection gets that sends these bytes and no more."""
        assert self.runner.server is not None
        # aiohttp would wait for the rest of a body that nobody reads.
        protocol = Connection(
            self.connections, self.runner.server, loop=self.loop, keepalive_timeout=0,
            lingering_time=0, access_log=None, logger=_http_log(),
        )  # fmt: skip
        transport = _Transport()
        protocol.connection_made(transport)
        await asyncio.sleep(0)
        protocol.data_received(data)
        for turn in range(MOST_TURNS):
            waits = protocol._waiter is not None and not protocol._messages
            if transport.closed or waits:
                break
            # Blocks are decoded on other threads.
            await asyncio.sleep(0 if turn < 100 else 0.001)
        else:
            raise AssertionError("no answer came")
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        return bytes(transport.sent)


@functools.cache
def _server() -> _Server:
    return _Server()


def check(data: bytes) -> None:
    """Sends the bytes over a connection of their own."""
    server = _server()
    server.errors.found.clear()
    sent = server.loop.run_until_complete(server.answers(data))
    assert not server.errors.found, server.errors.found
    failed = re.search(rb"^HTTP/\d\.\d 5\d\d [^\r]*", sent, re.MULTILINE)
    assert not failed, failed
    assert not sent or re.match(rb"HTTP/\d\.\d \d{3} ", sent), sent[:100]
    assert server.cache.kept_bytes <= CACHE_BYTES
    assert len(server.connections) == 0


TARGETS = (Target("server", check),)
