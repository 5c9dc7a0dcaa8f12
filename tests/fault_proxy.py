"""A proxy on loopback before an S3 service, which fails to store some objects."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from fault_server import Faults, FaultyServer


class _Server(FaultyServer):
    target: str


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        faults = self.server.faults
        if not faults.fails(unquote(urlsplit(self.path).path)):
            self._pass_on(body)
        elif isinstance(faults.kind, int):
            self.send_response(faults.kind)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif faults.kind == "lost":
            self._pass_on(body, answers=False)

    def do_GET(self) -> None:
        self._pass_on(b"")

    do_HEAD = do_DELETE = do_GET

    def _pass_on(self, body: bytes, answers: bool = True) -> None:
        connection = http.client.HTTPConnection(self.server.target)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        data = response.read()
        if answers:
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
        connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the requests out of the output of the tests."""


@contextlib.contextmanager
def failing_proxy(endpoint: str) -> Iterator[Faults]:
    """Stands before a service as long as the `with` block lasts."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.target = urlsplit(endpoint).netloc
    with server.running() as faults:
        yield faults
