"""A server on loopback that fails as networks and stores do."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclasses.dataclass
class Faults:
    """What the server does wrong; a test changes it while the server runs.

    Attributes:
      url: of the server.
      kind: a status code, "cut", "lost" (of a proxy: cut after the object is stored), "silent",
        "drip", "redirect", "encoding", "expired" or ""; "" for none.
      times: how many requests of each object it happens to; -1 for all.
      only: part of the paths that it happens to.
      leads_to: where redirects lead, before the path.
      signed: query that redirects add.
      requests: how often each path was asked for.
      authorized: paths that were asked for with a user and a password.
    """

    url: str = ""
    kind: int | str = ""
    times: int = -1
    only: str = ""
    leads_to: str = "http://elsewhere.invalid"
    signed: str = ""
    authorized: set[str] = dataclasses.field(default_factory=set)
    requests: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    stopping: threading.Event = dataclasses.field(default_factory=threading.Event)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def fails(self, path: str) -> bool:
        """Counts a request, and says whether it fails."""
        with self.lock:
            self.requests[path] += 1
            often = self.times < 0 or self.requests[path] <= self.times
        return bool(self.kind) and self.only in path and often

    def clear(self) -> None:
        """Ends the requests that were kept waiting; from now on nothing is wrong."""
        self.stopping.set()
        self.stopping = threading.Event()
        self.kind, self.times, self.only = "", -1, ""
        self.leads_to, self.signed = "http://elsewhere.invalid", ""
        self.requests.clear()
        self.authorized.clear()


class FaultyServer(ThreadingHTTPServer):
    """A server whose handler asks `faults` what goes wrong."""

    request_queue_size = 128
    daemon_threads = True
    faults: Faults

    @contextlib.contextmanager
    def running(self) -> Iterator[Faults]:
        """Serves as long as the `with` block lasts."""
        with self:
            self.faults = Faults(f"http://127.0.0.1:{self.server_address[1]}")
            thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self.faults
            finally:
                self.faults.stopping.set()
                self.shutdown()
                thread.join()


class _Server(FaultyServer):
    folder: Path


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        faults, path = self.server.faults, unquote(urlsplit(self.path).path)
        if "Authorization" in self.headers or "@" in self.path:
            faults.authorized.add(path)
        if faults.fails(path):
            self._fail(faults)
            return
        file = self.server.folder / path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        self._send(200, file.read_bytes())

    def _send(self, status: int, body: bytes, stated: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if stated is None else stated))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, faults: Faults) -> None:
        if isinstance(faults.kind, int):
            self._send(faults.kind, b"")
        elif faults.kind == "cut":
            self._send(200, b"x", stated=1000)
        elif faults.kind == "silent":
            faults.stopping.wait()
        elif faults.kind == "drip":
            self._send(200, b"", stated=10**6)
            stopping = faults.stopping
            with contextlib.suppress(OSError):
                while not stopping.wait(0.05):
                    self.wfile.write(b"x")
        elif faults.kind == "redirect":
            self._send(302, b"", Location=f"{faults.leads_to}{self.path}{faults.signed}")
        elif faults.kind == "encoding":
            self._send(200, b"xyz", **{"Content-Encoding": "aws-chunked,gzip"})
        elif faults.kind == "expired":
            self._send(403, b"<Error><Code>ExpiredToken</Code></Error>")

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the requests out of the output of the tests."""


@contextlib.contextmanager
def faulty_server(folder: Path) -> Iterator[Faults]:
    """Serves the files below a folder as long as the `with` block lasts."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.folder = folder
    with server.running() as faults:
        yield faults
