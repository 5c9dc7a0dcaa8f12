"""The protocol: conditional and range requests, gzip, CORS, and bad requests."""

import gzip
import http.client
import json
import logging
import socket
import urllib.parse
from pathlib import Path

import pytest

from jaxslice.serve.server import serving

INFO = "/small/precomputed/info"
CHUNK = "/small/precomputed/0/100-132_200-216_30-34"


@pytest.fixture
def ask(server):
    """Sends a request: (status, headers, body)."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc)

    def send(path, method="GET", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    yield send
    connection.close()


def test_a_chunk_is_x_fastest(ask, small_volume):
    status, headers, body = ask(CHUNK)
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert body == small_volume.voxels[:4, :16, :32].tobytes()


def test_ranges(ask):
    _, _, whole = ask(CHUNK)
    n = len(whole)
    for text, part in {
        "0-9": slice(0, 10),
        "5-": slice(5, n),
        "-7": slice(n - 7, n),
        f"{n - 1}-{2 * n}": slice(n - 1, n),
    }.items():
        status, headers, body = ask(CHUNK, Range=f"bytes={text}")
        assert (status, body) == (206, whole[part])
        first, last, _ = part.indices(n)
        assert headers["Content-Range"] == f"bytes {first}-{last - 1}/{n}"


@pytest.mark.parametrize("text", ["bytes=x-", "bytes=5-2", "bytes=0-1,4-5", "rows=1-2", "bytes=-"])
def test_ranges_that_are_none_are_ignored(ask, text):
    assert ask(CHUNK, Range=text)[0] == 200


def test_ranges_outside(ask):
    for text in ("bytes=99999999-", "bytes=-0"):
        status, headers, _ = ask(CHUNK, Range=text)
        assert (status, headers["Content-Range"]) == (416, "bytes */2048")


def test_conditional_requests(ask, server):
    _, headers, _ = ask(CHUNK)
    etag = headers["ETag"]
    before = server.counts()
    for condition in (etag, f'"other", W/{etag}', "*"):
        status, headers, body = ask(CHUNK, If_None_Match=condition)
        assert (status, body, headers["ETag"]) == (304, b"", etag)
    assert server.counts() == before, "a client that has the bytes costs no decoding"
    assert ask(CHUNK, If_None_Match='"other"')[0] == 200
    assert ask(CHUNK, If_Match=etag)[0] == 200
    assert ask(CHUNK, If_Match='"other"')[0] == 412
    assert ask(CHUNK, Range="bytes=0-3", If_Range=etag)[0] == 206
    assert ask(CHUNK, Range="bytes=0-3", If_Range='"other"')[0] == 200


def test_etags_differ_with_the_bytes(ask, small_archive):
    paths = (CHUNK, CHUNK.replace("30-34", "34-38"), INFO, "/small/zarr/zarr.json")
    assert len({ask(path)[1]["ETag"] for path in paths}) == len(paths)
    assert ask(CHUNK)[1]["ETag"] == ask(CHUNK.replace("small", "small-2"))[1]["ETag"]
    golden = Path(__file__).parents[1] / "golden" / "v3"
    with serving([golden / "tissue.zarr", golden / "noise.zarr"]) as running:
        etags = [volume.identity for volume in running.site.volumes.values()]
    assert len(set(etags)) == 2


def test_head_decodes_nothing(ask, server):
    ask("/")
    before = server.counts()
    status, headers, body = ask(CHUNK, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "2048", b"")
    assert server.counts() == before


def test_gzip_where_it_is_accepted(small_archive, small_volume):
    with serving([small_archive], gzip="always") as running:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(running.url).netloc)

        def get(**headers):
            connection.request(
                "GET", CHUNK, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
            response = connection.getresponse()
            return response.status, response.headers, response.read()

        _, plain, whole = get()
        assert plain["Content-Encoding"] is None
        for accepted in ("gzip", "br;q=1, gzip;q=0.5", "*"):
            _, headers, body = get(Accept_Encoding=accepted)
            assert headers["Content-Encoding"] == "gzip"
            assert headers["Vary"] == "Accept-Encoding"
            assert headers["ETag"] != plain["ETag"]
            assert gzip.decompress(body) == whole
        for accepted in ("gzip;q=0", "br", "identity"):
            assert get(Accept_Encoding=accepted)[1]["Content-Encoding"] is None
        assert get(Accept_Encoding="gzip", If_None_Match=headers["ETag"])[0] == 304
        status, headers, body = get(Accept_Encoding="gzip", Range="bytes=0-9")
        assert (status, headers["Content-Encoding"], body) == (206, None, whole[:10])
        connection.close()


def test_pages_of_other_origins_may_read(ask):
    for path in ("/", INFO, CHUNK, "/nothing"):
        _, headers, _ = ask(path, Origin="https://neuroglancer-demo.appspot.com")
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in headers["Access-Control-Expose-Headers"]
    status, headers, _ = ask(
        CHUNK, "OPTIONS", Origin="https://a.example", Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="range", Access_Control_Request_Private_Network="true",
    )  # fmt: skip
    assert status == 204
    assert "Range" in headers["Access-Control-Allow-Headers"]
    assert headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/nothing/precomputed/info",
        "/small/precomputed",
        "/small/precomputed/1/100-132_200-216_30-34",
        "/small/precomputed/-1/100-132_200-216_30-34",
        "/small/precomputed/00/100-132_200-216_30-34",
        "/small/precomputed/0/101-132_200-216_30-34",
        "/small/precomputed/0/100-133_200-216_30-34",
        "/small/precomputed/0/0-32_0-16_0-4",
        "/small/precomputed/0/" + "-".join("9" * 2000),
        "/small/precomputed/0/9999999999999999999-9999999999999999999_0-1_0-1",
        "/small/zarr/.zgroup",
        "/small/zarr/0/c/9/0/0",
        "/small/zarr/0/c/0/0",
        "/small/zarr/0/c/-1/0/0",
        "/small/zarr/0/c/٣/0/0",
        "/small/zarr/0/c/../../zarr.json/x",
        "/small/../../etc/passwd",
        "/small/%2e%2e/%2e%2e/__init__.py",
        "/small/zarr//etc/passwd",
        "/small/zarr/..%2f..%2fzarr.json",
        "/small/0/c/0/0/0",
        "/../../../../etc/passwd",
        "/%00",
    ],
)
def test_what_is_not_there_is_404(ask, path, caplog):
    status, _, body = ask(urllib.parse.quote(path, safe="/%"))
    assert status == 404
    assert len(body) < 100
    assert not caplog.records


def test_other_methods_are_refused(ask):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(CHUNK, method)[0] == 405


@pytest.mark.parametrize(
    "junk",
    [
        b"junk\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["junk", "nul", "long", "length", "tls"],
)
def test_what_is_no_http_is_400_and_is_not_logged(server, junk, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(junk)
        assert b" 400 " in connection.makefile("rb").readline()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "Traceback" not in capfd.readouterr().err


def test_damage_is_one_line(archive_copy, caplog):
    block = Path(archive_copy) / "0" / "c" / "0" / "0" / "0"
    block.write_bytes(block.read_bytes()[:-1])
    with serving([archive_copy]) as running:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(running.url).netloc)
        connection.request("GET", "/copy/precomputed/0/100-132_200-216_30-34")
        response = connection.getresponse()
        assert response.status == 500
        body = response.read().decode()
        assert body.startswith("Damaged data: ")
        assert len(body.splitlines()) == 1
        connection.request("GET", "/copy/precomputed/0/132-150_200-216_30-34")
        assert connection.getresponse().status == 200, "other blocks are still served"
        connection.close()
    assert "Traceback" not in caplog.text


def test_a_bug_is_not_shown(server, ask, monkeypatch, caplog):
    def fail(_):
        raise RuntimeError("secret")

    monkeypatch.setattr("jaxslice.serve.precomputed.info", fail)
    status, _, body = ask(INFO)
    assert status == 500
    assert b"secret" not in body
    assert "secret" in caplog.text, "but its log tells"


def test_the_page_and_the_counts(ask, server):
    status, headers, body = ask("/")
    assert (status, headers["Content-Type"]) == (200, "text/html")
    for link in server.links.values():
        assert link.partition("#")[0] in body.decode()
    counts = json.loads(ask("/stats")[2])
    assert counts["kept_bytes"] <= 20_000
    assert counts["decoded"] > 0
