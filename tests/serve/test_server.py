"""Starting and stopping, links, and the command."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from small_volume import OFFSET, SHAPE, VOXEL_SIZE_NM

import jaxslice
from jaxslice.serve import server as server_module
from jaxslice.serve import viewer
from jaxslice.serve.server import serving

ROOT = Path(__file__).parents[2]


def state_of(link: str) -> dict:
    return json.loads(urllib.parse.unquote(link.partition("#!")[2]))


def test_a_link_shows_the_middle_of_the_volume(server):
    assert list(server.links) == ["small", "small-2"]
    link = server.links["small-2"]
    assert link.startswith(f"{viewer.PUBLIC_VIEWER}#!")
    assert not set(link) & set(" \"<>'")
    state = state_of(link)
    (layer,) = state["layers"]
    assert layer["source"] == f"precomputed://{server.url}/small-2/precomputed"
    assert state["position"] == [
        o + n // 2 + 0.5 for o, n in zip(OFFSET[::-1], SHAPE[::-1], strict=True)
    ]
    assert state["dimensions"]["z"] == [VOXEL_SIZE_NM[0] * 1e-9, "m"]


def test_without_the_package_there_is_no_local_viewer(server, monkeypatch):
    monkeypatch.setattr(viewer.importlib.util, "find_spec", lambda _: None)
    with viewer.local_viewers(server.site.volumes.values(), server.url, "127.0.0.1") as found:
        assert found == {}


def test_threads_end_with_the_server(small_archive):
    with serving([small_archive]) as running:
        assert "serve" in {thread.name for thread in threading.enumerate()}
    assert "serve" not in {thread.name for thread in threading.enumerate()} or running
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(running.url)


def test_an_error_inside_the_block_stops_the_server(small_archive):
    with pytest.raises(KeyError), serving([small_archive]) as running:
        raise KeyError
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(running.url)


def test_a_port_in_use(small_archive):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(jaxslice.UsageError, match=f"127.0.0.1:{port}: .*in use"):
            serving([small_archive], port=port).__enter__()


def test_no_archive():
    with pytest.raises(jaxslice.UsageError, match="expected an archive"):
        serving(["/nowhere"]).__enter__()


def test_without_aiohttp_the_extra_is_named(small_archive, monkeypatch):
    monkeypatch.delitem(sys.modules, "jaxslice.serve.app", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(jaxslice.MissingExtraError, match=r"jaxslice\[serve\]"):
        serving([small_archive]).__enter__()


def test_addresses_in_links():
    assert server_module._host_in_url("127.0.0.1") == "127.0.0.1"
    assert server_module._host_in_url("::1") == "[::1]"
    assert server_module._host_in_url("0.0.0.0") == socket.gethostname()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(small_archive, stop):
    command = [sys.executable, ROOT / "run.py", "serve", small_archive, "--port=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "Ctrl-C stops the server.\n"))
        assert lines[0] == "small\n"
        local, public = (line.split()[-1] for line in lines[1:3])
        assert urllib.request.urlopen(local).status == 200
        source = state_of(public)["layers"][0]["source"]
        assert lines[3].split()[-1] == source
        with urllib.request.urlopen(f"{source.removeprefix('precomputed://')}/info") as got:
            assert json.load(got)["type"] == "image"
        process.send_signal(stop)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "decoded" in out


def test_the_command_says_what_is_wrong():
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "serve", "/nowhere"], capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
