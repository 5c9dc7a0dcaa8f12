"""A small Google Cloud Storage on loopback: Range, generations, conditional writes, listings."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

REFUSED_WRITES = ""
"""Part of the keys that a failing service does not store; empty for one that works."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, tuple[int, bytes]] = {}
        self.lock = threading.Lock()
        self.last_generation = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def _asked(self) -> tuple[str, dict[str, str]]:
        """The key of the object, "" for the bucket, and the query."""
        parts = urlsplit(self.path)
        found = re.fullmatch(r"(?:/upload)?/storage/v1/b/volumes/o(?:/(.*))?", parts.path)
        assert found, self.path
        return unquote(found[1] or ""), dict(parse_qsl(parts.query, keep_blank_values=True))

    def do_GET(self) -> None:
        key, query = self._asked()
        with self.server.lock:
            if not key:
                self._list(query)
                return
            generation, data = self.server.objects.get(key, (0, b""))
        if generation == 0:
            self._send(404)
            return
        if query.get("ifGenerationNotMatch") == str(generation):
            self._send(304)
            return
        if query.get("ifGenerationMatch") not in (None, str(generation)):
            self._send(412)
            return
        self._send_part(generation, data)

    def _send_part(self, generation: int, data: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        headers = {"x-goog-generation": str(generation)}
        if wanted is None:
            self._send(200, data, headers)
            return
        start = int(wanted[1]) if wanted[1] else max(len(data) - int(wanted[2]), 0)
        stop = min(len(data), int(wanted[2]) + 1) if wanted[1] and wanted[2] else len(data)
        if start >= stop:
            self._send(416)
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(206, data[start:stop], headers)

    def _list(self, query: dict[str, str]) -> None:
        start, stop = query.get("startOffset", ""), query.get("endOffset")
        keys = sorted(
            key
            for key in self.server.objects
            if key >= start and (not stop or key < stop) and key.startswith(query.get("prefix", ""))
        )
        items = [{"name": key, "size": str(len(self.server.objects[key][1]))} for key in keys]
        self._send_json({"kind": "storage#objects", "items": items})

    def do_POST(self) -> None:
        _, query = self._asked()
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = query["name"]
        if REFUSED_WRITES and REFUSED_WRITES in key:
            self._send(500)
            return
        with self.server.lock:
            if not self._unchanged(key, query):
                self._send(412)
                return
            self.server.last_generation += 1
            self.server.objects[key] = (self.server.last_generation, data)
            self._send_json({"name": key, "generation": str(self.server.last_generation)})

    def do_DELETE(self) -> None:
        key, query = self._asked()
        with self.server.lock:
            if not self._unchanged(key, query):
                self._send(412)
            else:
                self._send(204 if self.server.objects.pop(key, None) else 404)

    def _unchanged(self, key: str, query: dict[str, str]) -> bool:
        found = str(self.server.objects.get(key, (0, b""))[0])
        return query.get("ifGenerationMatch", found) == found

    def _send_json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the requests out of the output of the tests."""


@contextlib.contextmanager
def gcs_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, bytes]]]:
    """A service with the bucket `volumes`; yields its objects, each a generation and its bytes."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv(
            "TENSORSTORE_GCS_HTTP_URL", f"http://127.0.0.1:{server.server_address[1]}"
        )
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "secret-token")
        try:
            yield server.objects
        finally:
            server.shutdown()
            thread.join()
