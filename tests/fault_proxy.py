"""A proxy on loopback before an S3 service, which fails to store some objects."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclasses.dataclass
class PutFaults:
    """What goes wrong with what is stored; a test changes it while the proxy runs.

    Attributes:
      url: of the proxy.
      kind: a status code; "cut" ends the connection before the object is stored, "lost" after; ""
        for no fault.
      times: how many attempts to store an object fail; -1 for all.
      only: part of the paths that it happens to.
      tries: how often each path was to be stored.
    """

    url: str = ""
    kind: int | str = ""
    times: int = -1
    only: str = ""
    tries: dict[str, int] = dataclasses.field(default_factory=dict)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def fails(self, path: str) -> bool:
        """Whether storing an object fails this time."""
        with self.lock:
            self.tries[path] = self.tries.get(path, 0) + 1
            often = self.times < 0 or self.tries[path] <= self.times
            return bool(self.kind) and self.only in path and often


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    faults: PutFaults
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
def failing_proxy(endpoint: str) -> Iterator[PutFaults]:
    """Stands before a service as long as the `with` block lasts."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.target = urlsplit(endpoint).netloc
        server.faults = PutFaults(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.faults
        finally:
            server.shutdown()
            thread.join()
