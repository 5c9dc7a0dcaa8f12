"""Worker processes as data loaders start them: by fork, by spawn and by a fork server."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOADER = """
import hashlib, multiprocessing, sys
import numpy as np

import jaxslice


class Samples:
    '''A data set as PyTorch knows it: a length, and samples by index.'''

    def __init__(self, place):
        self.volume = jaxslice.open(place)

    def __len__(self):
        return self.volume.shape[0]

    def __getitem__(self, z):
        return np.asarray(self.volume[z])


def load(samples, indices, queue):
    for z in indices:
        queue.put((z, samples[z].tobytes()))


def main():
    method, read_first, place = sys.argv[1], sys.argv[2] == "True", sys.argv[3]
    context = multiprocessing.get_context(method)
    samples = Samples(place)
    expected = [samples[z].tobytes() for z in range(len(samples))] if read_first else None
    queue = context.Queue()
    workers = [
        context.Process(target=load, args=(samples, range(first, len(samples), 2), queue))
        for first in range(2)
    ]
    for worker in workers:
        worker.start()
    found = dict(queue.get(timeout=100) for _ in range(len(samples)))
    for worker in workers:
        worker.join()
    if expected is None:
        expected = [samples[z].tobytes() for z in range(len(samples))]
    assert [found[z] for z in range(len(samples))] == expected
    print("the same")


if __name__ == "__main__":
    main()
"""


def run(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess:
    program = tmp_path / "loader.py"
    program.write_text(textwrap.dedent(LOADER))
    return subprocess.run(
        [sys.executable, program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("read_first", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_read_the_same(small_archive, tmp_path, method, read_first):
    """Started before or after the parent process has read."""
    done = run(tmp_path, method, read_first, small_archive)
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr
