"""Ctrl-C while a server accepts requests and never answers: each command ends, leaving nothing."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fault_server import faulty_server
from volumes_for_tests import make_volume

import jaxslice

SAFETY_SECONDS = 60
"""Far below the time limit of one read, so that a wait for that one fails the test."""


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    make_volume(folder / "v")
    voxels = np.random.default_rng(1).integers(0, 255, (4, 16, 16), np.uint8)
    options = jaxslice.CompressOptions(effort="fast", block_shape=(4, 16, 16))
    jaxslice.compress(voxels, str(folder / "a.zarr"), options=options)
    with faulty_server(folder) as faults:
        yield faults


@pytest.mark.parametrize(
    ("words", "hangs_at"),
    [
        (["compress", "v", "out.zarr", "--effort=fast"], "-"),
        (["verify", "a.zarr"], "/c/"),
        (["decompress", "a.zarr", "out.npy"], "/c/"),
        (["info", "a.zarr"], "zarr.json"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_ctrl_c_ends_a_read_without_answer(faults, words, hangs_at, tmp_path):
    faults.clear()
    faults.kind, faults.only = "silent", hangs_at
    command = [words[0], f"{faults.url}/{words[1]}", *words[2:], "--io_timeout=3600"]
    program = "from jaxslice.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        while not any(hangs_at in path for path in faults.requests):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SAFETY_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert "jaxslice: Interrupted." in said
    assert not list(tmp_path.iterdir())
