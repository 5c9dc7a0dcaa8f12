"""Connections of the server: how many there are, and how long a client may take.

A client that sends half a request, or reads its answer too slowly or not at all, would otherwise
hold a connection and the bytes of its answer for ever.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware: TypeAlias = Callable[..., Awaitable[web.StreamResponse]]

IDLE_SECONDS = 75.0
"""Time to send a whole request. Longer than proxies keep connections, which then are their own."""

SEND_SECONDS = 30.0
"""Time to read an answer, beside that for its bytes."""

LEAST_BYTES_PER_SECOND = 10_000
"""What a client must read at least."""

_OTHER_FILES = 100
"""Open files that are left to the rest of the process."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)
_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: the connection is reset, so that the kernel drops what waits to be sent."""


class Connections:
    """All connections of one server.

    When there are too many, the one that has been idle longest makes room for a new one; where all
    are being answered, the new one gets a 503.
    """

    def __init__(
        self,
        most: int,
        idle_seconds: float = IDLE_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        """Starts without connections.

        Args:
          most: connections at the same time; fewer where the process may not open as many files.
          idle_seconds: time for a client to send a whole request.
          send_seconds: time for a client to read an answer, beside that for its bytes.
        """
        self._most = min(most, max(1, open_file_limit() - _OTHER_FILES))
        self._idle_seconds, self._send_seconds = idle_seconds, send_seconds
        self._idle: collections.OrderedDict[web.RequestHandler, None] = collections.OrderedDict()
        self._answered: set[web.RequestHandler] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._idle) + len(self._answered)

    def protocols(self, server: web.Server, log: logging.Logger) -> Callable[[], Connection]:
        """What `create_server` calls for each new connection.

        Args:
          server: of the application that answers.
          log: of HTTP.
        """
        loop = asyncio.get_running_loop()
        return lambda: Connection(
            self, server, loop=loop, keepalive_timeout=self._idle_seconds, access_log=None,
            logger=log,
        )  # fmt: skip

    def add(self, connection: Connection) -> None:
        """Takes a new connection, or refuses it."""
        if len(self) >= self._most:
            if not self._idle:
                connection.refuse()
                return
            oldest, _ = self._idle.popitem(last=False)
            oldest.force_close()
        self._idle[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forgets a connection that is lost."""
        self._idle.pop(connection, None)
        self._answered.discard(connection)

    @contextlib.contextmanager
    def _answering(self, connection: web.RequestHandler) -> Iterator[None]:
        known = connection in self._idle
        if known:
            del self._idle[connection]
            self._answered.add(connection)
        try:
            yield
        finally:
            # It may have been lost meanwhile.
            if connection in self._answered:
                self._answered.remove(connection)
                self._idle[connection] = None

    def middleware(self) -> Middleware:
        """What sends each answer within the time for it. It must be the outermost."""

        @web.middleware
        async def send(request: web.Request, handler: Handler) -> web.StreamResponse:
            with self._answering(request.protocol):
                try:
                    response = await handler(request)
                except web.HTTPException as error:
                    await self._send(request, error)
                    raise
                await self._send(request, response)
                return response

        return send

    async def _send(self, request: web.Request, response: web.StreamResponse) -> None:
        body = response.body if isinstance(response, web.Response) else None
        length = len(body) if isinstance(body, bytes) else 0
        seconds = self._send_seconds + length / LEAST_BYTES_PER_SECOND
        # aiohttp sees to a client that goes away.
        with contextlib.suppress(ConnectionError):
            try:
                async with asyncio.timeout(seconds):
                    await response.prepare(request)
                    await response.write_eof()
            except TimeoutError:
                _reset(request.transport)


class Connection(web.RequestHandler):
    """A connection that counts.

    Its answers are sent when the kernel has taken all of their bytes: none are left for which
    nobody waits any more.
    """

    __slots__ = ("_all",)

    def __init__(self, connections: Connections, server: web.Server, **options) -> None:
        """Belongs to `connections`; the rest is for aiohttp."""
        super().__init__(server, **options)
        self._all = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for a request."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)
        super().connection_made(transport)
        self._all.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Ends."""
        self._all.remove(self)
        super().connection_lost(exc)

    def refuse(self) -> None:
        """Tells the client to come again later."""
        assert self.transport
        self.transport.write(_FULL)
        self.force_close()


def open_file_limit() -> int:
    """How many files this process may have open."""
    try:
        import resource
    except ImportError:  # not a Unix
        return 512
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def _reset(transport: asyncio.Transport | None) -> None:
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
