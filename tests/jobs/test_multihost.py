"""Two processes that JAX connects encode a part each."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from destinations_for_tests import content
from small_volume import OPTIONS

import jaxslice
from jaxslice.cli import compress
from jaxslice.core.errors import UsageError

ROOT = Path(__file__).parents[2]


def test_two_processes_of_jax(small_volume, tmp_path):
    (tmp_path / "plain").mkdir()
    block_shape = OPTIONS.block_shape
    options = jaxslice.CompressOptions(block_shape=block_shape, effort="fast")
    jaxslice.compress(small_volume.path, str(tmp_path / "plain" / "a.zarr"), options)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable, str(ROOT / "run.py"), "compress", small_volume.path,
        str(tmp_path / "a.zarr"), "--effort=fast", "--block_shape=4,16,32",
        "--multihost", f"--jax_coordinator=127.0.0.1:{port}", "--num_shards=2",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [*words, f"--shard_index={index}"], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for index in range(2)
    ]  # fmt: skip
    printed = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    for index, (_, messages) in enumerate(printed):
        assert f"Job shard {index} of 2 of the array of JAX" in messages
    assert content(tmp_path / "a.zarr") == content(tmp_path / "plain" / "a.zarr")


@pytest.mark.parametrize(
    "words",
    [["--jax_coordinator=h:1"], ["--multihost", "--num_shards=2"],
     ["--multihost", "--jax_coordinator=h:1", "--num_shards=2"]],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(words):
    values = compress.COMMAND.flags()
    values(["compress", *words])
    with pytest.raises(UsageError, match="--jax_coordinator"):
        compress._shard_of(values)
