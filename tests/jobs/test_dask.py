"""Workers of a Dask cluster, which are processes: the bytes of a local run, also if one dies."""

import dataclasses
import json
import os
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
from destinations_for_tests import content
from fault_server import faulty_server
from small_volume import OPTIONS
from volumes_for_tests import chunk_files, make_volume

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError, StorageError, UsageError
from jaxslice.core.progress import Stopwatch
from jaxslice.jobs.encoding import EncodeTask
from jaxslice.volumes.source import open_source

distributed = pytest.importorskip("distributed")
from jaxslice.jobs.executors import dask_cluster  # noqa: E402
from jaxslice.jobs.executors.dask_cluster import DaskExecutor, dask_executor  # noqa: E402

ROOT = Path(__file__).parents[2]
FAST = dataclasses.replace(OPTIONS, effort="fast", training_steps=None, block_shape=(2, 8, 16))

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def executor():
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("PYTHONPATH", str(ROOT))
        with dask_executor(workers=2) as made:
            yield made


@pytest.fixture(scope="module")
def plain(small_volume, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("plain") / "a.zarr"
    jaxslice.compress(small_volume.path, str(place), FAST)
    return place


def prepared() -> int:
    return dask_cluster._prepare.cache_info().misses


@pytest.mark.parametrize("shard_shape", [None, (4, 16, 32)])
def test_the_bytes_of_a_local_run(executor, small_volume, tmp_path, shard_shape, monkeypatch):
    options, places = dataclasses.replace(FAST, shard_shape=shard_shape), []
    written, append = [], dask_cluster.append_lines

    def appended(log, lines):
        written.extend(lines)
        append(log, lines)

    monkeypatch.setattr(dask_cluster, "append_lines", appended)
    for number, runs in enumerate((None, executor)):
        log = tmp_path / f"{number}.jsonl"
        options = dataclasses.replace(options, log_blocks=str(log))
        (tmp_path / str(number)).mkdir()
        places.append(tmp_path / str(number) / "a.zarr")
        report = jaxslice.compress(small_volume.path, str(places[-1]), options, executor=runs)
    assert content(places[0]) == content(places[1])
    assert report.seconds["encode"] > 0
    assert report.details["source_bytes_read"] >= report.raw_bytes
    assert report.details["bytes_written"] >= report.compressed_bytes
    # The client writes the lines: workers may be on machines without the file.
    assert log.read_text().splitlines() == written
    assert len({str(json.loads(line)["index"]) for line in written}) == report.num_blocks
    # Each process prepared once for these blocks, however many tasks it has run.
    assert set(executor.client.run(prepared).values()) == {1}


def test_missing_chunks_count_wherever_they_are_read(executor, tmp_path):
    make_volume(tmp_path / "v")
    for chunk in chunk_files(tmp_path / "v")[2:9]:
        chunk.unlink()
    options = dataclasses.replace(FAST, missing="zero", block_shape=(8, 16, 16))
    place = str(tmp_path / "a.zarr")
    report = jaxslice.compress(str(tmp_path / "v"), place, options, executor=executor)
    assert report.details["missing_chunks"] == 7
    assert jaxslice.info(place).details["provenance"]["missing_chunks"] == 7


def test_access_that_workers_are_refused_is_named(executor, plain, tmp_path):
    make_volume(tmp_path / "v")
    with faulty_server(tmp_path) as faults:
        archive = open_archive(plain)
        source = open_source(f"{faults.url}/v").moved_to(archive.box.start)
        faults.kind, faults.only = 403, "-"
        task = EncodeTask(source, archive, ((0, 0, 0),))
        with pytest.raises(StorageError, match=r"403.*--missing=zero"):
            executor.run([task], Stopwatch(), print)


def test_a_worker_that_is_killed(executor, small_volume, plain, tmp_path):
    killed = []

    def progress(part, done, _total):
        if part == "compress" and done == 5 and not killed:
            pids = executor.client.run(os.getpid)
            killed.append(pids[min(pids)])
            os.kill(killed[0], signal.SIGKILL)

    jaxslice.compress(
        small_volume.path, str(tmp_path / "a.zarr"), FAST, progress, executor=executor
    )
    assert killed
    assert content(tmp_path / "a.zarr") == content(plain)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_verify_and_decompress(executor, small_volume, plain, tmp_path):
    report = jaxslice.verify(str(plain), source=small_volume.path, executor=executor)
    assert report.details["verified"]
    box = Box((31, 203, 101), (39, 239, 148))
    jaxslice.decompress(str(plain), str(tmp_path / "v.npy"), bbox=box, executor=executor)
    expected = small_volume.voxels[box.relative_to(small_volume.box.start).slices]
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), expected)


def test_a_damaged_block_is_named_and_not_tried_again(executor, plain, tmp_path):
    copy = Path(shutil.copytree(plain, tmp_path / "a.zarr"))
    block = next(path for path in (copy / "0" / "c").rglob("*") if path.is_file())
    block.write_bytes(block.read_bytes()[:-3])
    with pytest.raises(FormatError, match="In block"):
        jaxslice.verify(str(copy), executor=executor)


def test_workers_with_too_little_memory_are_refused(executor):
    with pytest.raises(UsageError, match=r"MiB for 1 threads, expected \d+ MiB"):
        executor.check_memory(1 << 50, 0)


class Restarting:
    """A client of a cluster whose workers are all being started again."""

    def __init__(self, comes: bool):
        self.comes, self.workers = comes, {}

    def scheduler_info(self, n_workers: int) -> dict:
        return {"workers": self.workers}

    def wait_for_workers(self, count: int, timeout: float) -> None:
        if not self.comes:
            raise TimeoutError
        self.workers = {"tcp://127.0.0.1:1": {"memory_limit": 1 << 20, "nthreads": 1}}


def test_workers_that_start_again_are_waited_for():
    DaskExecutor(Restarting(comes=True)).check_memory(1, 1)
    with pytest.raises(UsageError, match="without workers"):
        DaskExecutor(Restarting(comes=False)).check_memory(1, 1)


def test_no_scheduler_is_a_usage_error():
    with (
        pytest.raises(UsageError, match="Cannot reach the Dask scheduler at 'tcp://127"),
        dask_executor("tcp://127.0.0.1:1", wait_seconds=0.2),
    ):
        pass
