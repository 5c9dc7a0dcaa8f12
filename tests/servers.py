"""Servers on loopback: HTTP with the Range requests that sharded volumes need, and S3."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
import ssl
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.x509.oid import NameOID


class _FolderServer(ThreadingHTTPServer):
    # Clients fetch many chunks at once; a full queue would make them wait a second and try again.
    request_queue_size = 128
    folder: Path
    refuses_missing = False
    content_encoding = ""
    ranges = True


class _RangeHandler(BaseHTTPRequestHandler):
    server: _FolderServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_OPTIONS(self) -> None:
        """A browser asks so before a page of another server may ask for a range."""
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.end_headers()

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def _answer(self, with_body: bool) -> None:
        path = self.server.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if not path.is_file() or ".." in path.parts:
            missing = HTTPStatus.FORBIDDEN if self.server.refuses_missing else HTTPStatus.NOT_FOUND
            self.send_error(missing)
            return
        body = path.read_bytes()
        total = len(body)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or not self.server.ranges:
            self.send_response(HTTPStatus.OK)
        else:
            start = int(wanted[1]) if wanted[1] else max(total - int(wanted[2]), 0)
            stop = min(total, int(wanted[2]) + 1) if wanted[1] and wanted[2] else total
            if start >= stop:
                self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            body = body[start:stop]
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{total}")
        if self.server.content_encoding:
            self.send_header("Content-Encoding", self.server.content_encoding)
        self.send_header("Accept-Ranges", "bytes" if self.server.ranges else "none")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the requests out of the output of the tests."""


@contextlib.contextmanager
def serve_folder(
    folder: Path,
    refuses_missing: bool = False,
    content_encoding: str = "",
    ranges: bool = True,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """Serves the files below `folder` as long as the `with` block lasts; yields the base URL.

    A bucket that nobody may list answers 403 to what is not there, if `refuses_missing`.
    `content_encoding` is what the server says of the bytes of the files. Without `ranges` whole
    files are sent whatever is asked for. With a certificate and its key it speaks HTTPS.
    """
    with _FolderServer(("127.0.0.1", 0), _RangeHandler) as server:
        server.folder, server.refuses_missing = Path(folder), refuses_missing
        server.content_encoding, server.ranges = content_encoding, ranges
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private


@contextlib.contextmanager
def s3_bucket(monkeypatch: pytest.MonkeyPatch):
    """An S3 service on this machine with the bucket `volumes`; yields its endpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        try:
            endpoint = "http://{}:{}".format(*server.get_host_and_port())
            # All servers of one process share what they store.
            for method, path in (("POST", "moto-api/reset"), ("PUT", "volumes")):
                request = urllib.request.Request(f"{endpoint}/{path}", method=method)
                urllib.request.urlopen(request).close()
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            monkeypatch.setenv("AWS_REGION", "us-east-1")
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
            yield endpoint
        finally:
            server.stop()
