"""Faults of networks and stores: tried again, then one line with exit code 1, never a hang."""

import json
import threading
import time

import numpy as np
import pytest
from fault_server import faulty_server
from volumes_for_tests import BOX, make_volume

import jaxslice
from jaxslice.cli.main import run
from jaxslice.core.box import Box
from jaxslice.core.errors import StorageError
from jaxslice.storage import location, store_options
from jaxslice.storage.folder import open_folder
from jaxslice.storage.location import parse_location
from jaxslice.storage.store_options import StoreOptions, options_for_now
from jaxslice.volumes.precomputed_chunks import UnpackedReader
from jaxslice.volumes.source import open_source

FAST = StoreOptions(timeout_seconds=1.0, retries=3)
QUICK_FLAGS = ["--io_timeout=0.5", "--io_retries=1"]
LASTING = [500, 503, 429, 403, "cut", "silent", "drip", "redirect", "expired"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(location, "RETRIES", {"initial_delay": "1ms", "max_delay": "1ms"})
    with options_for_now(StoreOptions()):
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    voxels = make_volume(folder / "v")
    write_archive(folder / "a.zarr")
    with faulty_server(folder) as faults:
        yield faults, voxels


def write_archive(path):
    voxels = np.random.default_rng(1).integers(0, 255, (4, 16, 16), np.uint8)
    options = jaxslice.CompressOptions(effort="fast", block_shape=(4, 16, 16))
    jaxslice.compress(voxels, str(path), options=options)


@pytest.fixture
def faults(served):
    yield served[0]
    served[0].clear()


@pytest.mark.parametrize("kind", [500, 503, 429, "cut"])
def test_a_burst_is_outlived(served, faults, kind):
    faults.kind, faults.times = kind, 2
    with options_for_now(StoreOptions(timeout_seconds=30, retries=3)):
        np.testing.assert_array_equal(open_source(f"{faults.url}/v").read(BOX), served[1])


@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("only", ["", "-"], ids=["all", "chunks"])
def test_a_lasting_fault_is_an_error_of_storage(faults, kind, only):
    faults.kind, faults.only = kind, only
    with options_for_now(FAST), pytest.raises(StorageError) as caught:
        open_source(f"{faults.url}/v").read(BOX)
    assert faults.url in str(caught.value)
    assert "\n" not in str(caught.value)
    if kind == "redirect" and only:
        assert "give the address that it leads to" in str(caught.value)


@pytest.mark.parametrize("kind", [503, 403, "silent"])
@pytest.mark.parametrize("command", ["info", "verify", "decompress"])
def test_commands_say_it_in_one_line(faults, kind, command, tmp_path, capfd):
    faults.kind = kind
    if command != "info":
        faults.only = "/c/"
    words = [command, f"{faults.url}/a.zarr?sig=secret", *QUICK_FLAGS]
    words += [str(tmp_path / "out.npy")] if command == "decompress" else []
    assert run(["jaxslice", *words]) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "jaxslice:" in line]
    assert faults.url in line
    assert "secret" not in line
    assert not list(tmp_path.iterdir())


def test_an_encoding_that_http_does_not_know_is_named(faults):
    faults.kind = "encoding"
    with options_for_now(FAST), pytest.raises(StorageError, match="to gzip alone"):
        open_source(f"{faults.url}/v")


def test_an_interruption_ends_waits_of_other_threads(faults, monkeypatch):
    monkeypatch.setattr(store_options, "_interrupted", threading.Event())
    source = open_source(f"{faults.url}/v")
    faults.kind, faults.only = "silent", "-"
    seen = []

    def read():
        try:
            source.read(BOX)
        except StorageError as error:
            seen.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    while not any("-" in path for path in faults.requests):
        time.sleep(0.01)
    store_options.interrupt_waits()
    reader.join(60)
    assert "told to stop" in seen[0]


def compress(faults, archive, *flags):
    words = ["compress", f"{faults.url}/v", str(archive), "--effort=fast", *QUICK_FLAGS, *flags]
    return run(["jaxslice", *words])


def test_chunks_that_are_all_refused_are_not_zeros(faults, tmp_path, capfd):
    faults.kind, faults.only = 403, "-"
    assert compress(faults, tmp_path / "a.zarr") == 1
    assert "pass --missing=zero" in capfd.readouterr().err
    assert compress(faults, tmp_path / "a.zarr", "--missing=zero") == 1
    said = capfd.readouterr().err
    assert "Access refused" in said
    assert faults.url in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["raw", "jxl"])
def test_access_that_ends_meanwhile_gives_no_zeros(faults, encoding, tmp_path):
    place = f"{faults.url}/v"
    source = open_source(place, missing="zero")
    reader = source.reader
    if encoding == "jxl":
        scale = json.loads(open_folder(place).read("info") or b"")["scales"][0]
        scale["chunk_size"] = scale["chunk_sizes"][0]
        uint8 = np.dtype(np.uint8)
        reader = UnpackedReader(place, parse_location(place), scale, uint8, 1, 0, 0)
    first = Box(BOX.start, (4, 0, 20))
    assert reader(first).all()
    faults.kind = 403
    with options_for_now(FAST), pytest.raises(StorageError):
        reader(BOX)
