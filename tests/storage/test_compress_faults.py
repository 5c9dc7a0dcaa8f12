"""Compressing from stores that fail: bursts pass, a lasting fault leaves work to go on with."""

import hashlib

import fake_gcs
import pytest
from fake_gcs import gcs_bucket
from fault_proxy import failing_proxy
from fault_server import faulty_server
from servers import s3_bucket
from volumes_for_tests import KINDS, chunk_files, make_volume

from jaxslice.cli.main import run
from jaxslice.storage import location
from jaxslice.storage.store_options import StoreOptions, options_for_now

FLAGS = ["--effort=fast", "--block_shape=8,16,16", "--workers=1", "--io_timeout=20"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(location, "RETRIES", {"initial_delay": "1ms", "max_delay": "1ms"})
    with options_for_now(StoreOptions()):
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    make_volume(folder / "v")
    with faulty_server(folder) as faults:
        assert compress(faults, folder / "a.zarr") == 0
        yield faults, digests(folder / "a.zarr")


@pytest.fixture
def faults(served):
    yield served[0]
    served[0].clear()


def compress(faults, archive, name="v", retries=3):
    words = ["compress", f"{faults.url}/{name}", str(archive), *FLAGS, f"--io_retries={retries}"]
    return run(["jaxslice", *words])


def digests(archive):
    files = (path for path in archive.rglob("*") if "/c/" in path.as_posix() and path.is_file())
    return {
        path.relative_to(archive).as_posix(): hashlib.sha256(path.read_bytes()).digest()
        for path in files
    }


@pytest.mark.parametrize("kind", [503, "cut"])
def test_a_burst_changes_no_byte(served, faults, kind, tmp_path):
    faults.kind, faults.times = kind, 2
    assert compress(faults, tmp_path / "a.zarr") == 0
    assert digests(tmp_path / "a.zarr") == served[1]


@pytest.mark.parametrize("kind", [500, "cut"])
def test_the_second_run_goes_on(served, faults, kind, tmp_path, capfd):
    last = "39-55_25-35_31-33"
    faults.kind, faults.only = kind, last
    assert compress(faults, tmp_path / "a.zarr", retries=1) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "jaxslice:" in line]
    assert last in line
    assert not (tmp_path / "a.zarr").exists()
    faults.clear()
    assert compress(faults, tmp_path / "a.zarr") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    assert digests(tmp_path / "a.zarr") == served[1]


def test_no_chunk_is_fetched_twice(faults, tmp_path):
    # Blocks of 8,16,13 lie across chunks of 14,15,16.
    assert compress(faults, tmp_path / "a.zarr") == 0
    fetched = [times for path, times in faults.requests.items() if not path.endswith("/info")]
    assert fetched == [1] * 36


def test_a_bucket_that_takes_no_blocks(monkeypatch, tmp_path, capfd):
    make_volume(tmp_path / "v")
    words = ["compress", str(tmp_path / "v"), "gs://volumes/a.zarr", *FLAGS, "--io_retries=1"]
    with gcs_bucket(monkeypatch) as objects:
        with monkeypatch.context() as patch:
            patch.setattr(fake_gcs, "REFUSED_WRITES", "/c/1/")
            assert run(["jaxslice", *words]) == 1
        (line,) = [line for line in capfd.readouterr().err.splitlines() if "jaxslice:" in line]
        assert "gs://volumes/a.zarr" in line
        assert "/c/1/" in line
        kept = {key: value for key, value in objects.items() if "/c/" in key}
        assert kept
        assert run(["jaxslice", *words]) == 0
        assert kept.items() <= objects.items()
        assert "resume" in capfd.readouterr().err
        assert run(["jaxslice", "verify", "gs://volumes/a.zarr"]) == 0


def test_an_s3_service_that_stores_badly(served, monkeypatch, tmp_path, capfd):
    make_volume(tmp_path / "v")
    place = "s3://volumes/a.zarr"
    words = ["compress", str(tmp_path / "v"), place, *FLAGS]
    with s3_bucket(monkeypatch) as endpoint, failing_proxy(endpoint) as puts:
        monkeypatch.setenv("AWS_ENDPOINT_URL", puts.url)
        for kind in (500, 503, "cut", "lost"):
            puts.clear()
            puts.kind, puts.times, puts.only = kind, 1, "/c/1/"
            assert run(["jaxslice", *words, "--overwrite", "--io_retries=3"]) == 0, kind
            assert max(puts.requests.values()) > 1
        assert run(["jaxslice", "verify", place, f"--source={tmp_path / 'v'}"]) == 0
        capfd.readouterr()
        puts.kind, puts.times = 503, -1
        assert run(["jaxslice", *words, "--overwrite", "--io_retries=1"]) == 1
        (line,) = [line for line in capfd.readouterr().err.splitlines() if "jaxslice:" in line]
        assert place in line
        assert "/c/1/" in line
        puts.kind = ""
        assert run(["jaxslice", *words, "--overwrite"]) == 0
        assert "resume" in capfd.readouterr().err
        assert run(["jaxslice", "verify", place]) == 0


@pytest.mark.parametrize("kind", ["raw", "png"])
def test_a_damaged_chunk_is_named(kind, tmp_path, capfd):
    folder = tmp_path / "served"
    make_volume(folder / "v", **KINDS[kind])
    chunk = chunk_files(folder / "v")[5]
    chunk.write_bytes(chunk.read_bytes()[:40])
    with faulty_server(folder) as damaged:
        assert compress(damaged, tmp_path / "a.zarr") == 3
    assert chunk.name in capfd.readouterr().err
    assert not (tmp_path / "a.zarr").exists()
