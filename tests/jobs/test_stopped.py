"""A full disk, a quota, a notice that the machine is needed: a clean end, and the run goes on."""

import contextlib
import dataclasses
import os
import signal
from pathlib import Path

import pytest
from destinations_for_tests import content
from small_volume import OPTIONS

import jaxslice
from jaxslice.cli import main
from jaxslice.cli.signals import Interrupter
from jaxslice.jobs.compress_shard import compress_shard
from jaxslice.jobs.job_shard import JobShard

resource = pytest.importorskip("resource")
FAST = dataclasses.replace(OPTIONS, effort="fast", training_steps=None, block_shape=(4, 40, 50))
FLAGS = ["--effort=fast", "--block_shape=4,40,50"]


@pytest.fixture(scope="module")
def plain(small_volume, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("plain") / "a.zarr"
    jaxslice.compress(small_volume.path, str(place), FAST)
    return place


def largest_block(archive: Path) -> int:
    return max(p.stat().st_size for p in (archive / "0" / "c").rglob("*") if p.is_file())


@contextlib.contextmanager
def no_file_larger_than(num_bytes: int):
    """What a quota or a full disk does: some writes fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("parts", [None, 2])
def test_a_full_disk(capsys, small_volume, plain, tmp_path, parts):
    place, largest = tmp_path / "a.zarr", largest_block(plain)
    words = ["jaxslice", "compress", small_volume.path, str(place), *FLAGS]
    if parts:
        words += [f"--num_shards={parts}", "--shard_index=0"]
    with no_file_larger_than(largest - 1):
        code = main.run(words)
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("jaxslice: Cannot write ")
    assert "File too large" in last
    assert os.listdir(tmp_path) == [".a.zarr.partial"]
    assert main.run(words) == 0
    if parts:
        compress_shard(small_volume.path, str(place), JobShard(1, 2), FAST)
    assert content(place) == content(plain)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_a_job_shard_that_is_preempted(capsys, monkeypatch, small_volume, plain, tmp_path):
    from jaxslice.cli import compress

    place, sent = tmp_path / "a.zarr", []

    @contextlib.contextmanager
    def display():
        def show(part, *_):
            if part == "compress" and not sent:
                sent.append(True)
                signal.raise_signal(signal.SIGTERM)

        yield show

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    words = ["jaxslice", "compress", small_volume.path, str(place), *FLAGS, "--num_shards=2"]
    monkeypatch.setattr(compress, "progress_display", display)
    try:
        Interrupter()
        code = main.run([*words, "--shard_index=1", "--workers=1"])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert code == 1
    assert "the same command goes on from there" in capsys.readouterr().err
    for index in (1, 0):
        assert main.run([*words, f"--shard_index={index}"]) == 0
    assert content(place) == content(plain)
    assert os.listdir(tmp_path) == ["a.zarr"]
