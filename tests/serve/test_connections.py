"""Clients that are slow or say nothing: they are closed in time, and block nobody else."""

import contextlib
import socket
import time
import urllib.parse
import urllib.request

import pytest

from jaxslice.serve import connections as connections_module
from jaxslice.serve import server as server_module
from jaxslice.serve.connections import Connections

CHUNK = "/small/precomputed/0/100-132_200-216_30-34"


@pytest.fixture
def serve(small_archive, monkeypatch):
    """Starts a server with limits that are reached at once: its address, and its connections."""
    with contextlib.ExitStack() as stack:

        def start(**limits):
            found = Connections(**{"most": 100, **limits})
            monkeypatch.setattr(connections_module, "Connections", lambda _: found)
            running = stack.enter_context(server_module.serving([small_archive]))
            address = urllib.parse.urlsplit(running.url)
            return (address.hostname, address.port), found

        yield start


def ask(connection: socket.socket, path: str = CHUNK, times: int = 1) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * times)


def is_answered(address) -> bool:
    with urllib.request.urlopen("http://{}:{}{}".format(*address, CHUNK)) as answer:
        return len(answer.read()) == 2048


def read_to_the_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize("sent", [b"", b"GET /small/pre", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_half_a_request_is_closed(serve, sent):
    address, _ = serve(idle_seconds=0.1)
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""
    assert is_answered(address)


def test_who_reads_nothing_is_reset(serve, monkeypatch):
    # More bytes than the kernel takes for a client that reads none of them.
    monkeypatch.setattr("jaxslice.serve.precomputed.info", lambda _: bytes(10_000_000))
    monkeypatch.setattr(connections_module, "LEAST_BYTES_PER_SECOND", 1e9)
    address, found = serve(send_seconds=0.1)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        ask(connection, "/small/precomputed/info")
        assert connection.recv(9) == b"HTTP/1.1 "
        assert is_answered(address), "while the other waits"
        while len(found):
            time.sleep(0.01)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(connection)


def test_the_longest_idle_connection_makes_room(serve):
    address, found = serve(most=3)
    with contextlib.ExitStack() as stack:
        first, second, third = (
            stack.enter_context(socket.create_connection(address)) for _ in range(3)
        )
        for connection in (second, third):
            ask(connection, "/nothing")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 404")
        assert is_answered(address)
        assert read_to_the_end(first) == b""
        ask(third, "/nothing")
        assert third.recv(1 << 16).startswith(b"HTTP/1.1 404")
        assert len(found) <= 3


def test_when_all_are_answered_a_new_connection_is_refused(serve):
    address, found = serve(most=1)
    found._answered.add(object())
    with socket.create_connection(address) as connection:
        assert read_to_the_end(connection).startswith(b"HTTP/1.1 503")
    found._answered.clear()
    assert is_answered(address)


def test_connections_leave_files_for_the_rest_of_the_process(monkeypatch):
    monkeypatch.setattr(connections_module, "open_file_limit", lambda: 150)
    assert Connections(1000)._most == 50
    assert Connections(10)._most == 10
