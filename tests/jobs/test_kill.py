"""Processes that are killed at once, by SIGKILL: the same command again ends as if undisturbed."""

import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from destinations_for_tests import content

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import UsageError
from jaxslice.models import model_file
from jaxslice.storage.workspace import workspace_of

ROOT = Path(__file__).parents[2]
MODEL = "plain.json"
OPTIONS = jaxslice.CompressOptions(
    effort=0, model=MODEL, block_shape=(2, 8, 16), downsample=1, engine="native"
)

PROGRAM = """
import os, signal, sys
import jaxslice
from jaxslice.archive.store import Archive
from jaxslice.storage import draft, replace

def kill_at(owner, name, call, after):
    function, calls = getattr(owner, name), [0]

    def killing(*args, **kwargs):
        calls[0] += 1
        number = calls[0]
        if number == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if number == call and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, killing)

options = jaxslice.CompressOptions(
    effort=0, model="plain.json", block_shape=(2, 8, 16), downsample=1, engine="native",
    overwrite={overwrite}, workers=1,
)
{kill}
jaxslice.compress("v.npy", "a.zarr", options)
"""

POINTS = {
    "before the network is kept": "kill_at(draft.Draft, 'note', 2, after=False)",
    "after the first block": "kill_at(Archive, 'write_payload', 1, after=True)",
    "between two scales": "kill_at(draft.Draft, 'note', 3, after=False)",
    "before the switch": "kill_at(draft, 'bring', 1, after=False)",
    "before the folder is renamed": "kill_at(replace, '_exchange', 1, after=False)",
    "after the folder is renamed": "kill_at(draft, 'bring', 1, after=True)",
    "while leftovers are removed": "kill_at(draft, 'remove_workspace', 1, after=False)",
}
"""Moment -> what a run does to be killed then."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    np.save(folder / "v.npy", synthetic_volume((6, 16, 32), seed=4))
    # A model that is not fitted to the volume: the run begins with the blocks.
    model = dataclasses.replace(jaxslice.load_model("default"), adaptation=None)
    model_file.save(str(folder / MODEL), model)
    with contextlib.chdir(folder):
        jaxslice.compress("v.npy", "a.zarr", OPTIONS)
    return folder


def copy_of(undisturbed: Path, folder: Path) -> None:
    for name in ("v.npy", MODEL):
        shutil.copy(undisturbed / name, folder / name)


def start(folder: Path, kill: str = "", overwrite: bool = False) -> subprocess.Popen[bytes]:
    program = textwrap.dedent(PROGRAM).format(kill=kill, overwrite=overwrite)
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def finish(folder: Path, undisturbed: Path) -> None:
    """Runs the command in this process, as long as it has something to do, and compares."""
    with contextlib.chdir(folder), contextlib.suppress(UsageError):
        jaxslice.compress("v.npy", "a.zarr", OPTIONS)
    assert content(folder / "a.zarr") == content(undisturbed / "a.zarr")
    assert not workspace_of(folder / "a.zarr").exists()


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(undisturbed, tmp_path, point):
    copy_of(undisturbed, tmp_path)
    process = start(tmp_path, POINTS[point])
    message = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, message
    assert workspace_of(tmp_path / "a.zarr").exists()
    finish(tmp_path, undisturbed)


@pytest.mark.parametrize("point", ["before the folder is renamed", "after the folder is renamed"])
def test_killed_while_an_archive_is_replaced(undisturbed, tmp_path, point):
    copy_of(undisturbed, tmp_path)
    old = dataclasses.replace(OPTIONS, block_shape=(3, 8, 16), model=str(tmp_path / MODEL))
    jaxslice.compress(str(tmp_path / "v.npy"), str(tmp_path / "a.zarr"), old)
    process = start(tmp_path, POINTS[point], overwrite=True)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    replaced = content(tmp_path / "a.zarr") == content(undisturbed / "a.zarr")
    assert replaced == (point == "after the folder is renamed")
    jaxslice.verify(str(tmp_path / "a.zarr"), source=str(tmp_path / "v.npy"))
    again = start(tmp_path, overwrite=True)
    assert again.communicate()[1] == b""
    assert content(tmp_path / "a.zarr") == content(undisturbed / "a.zarr")
    assert not workspace_of(tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random(undisturbed, tmp_path, seed):
    copy_of(undisturbed, tmp_path)
    process = start(tmp_path)
    blocks = workspace_of(tmp_path / "a.zarr") / "new"
    while process.poll() is None and not blocks.exists():
        pass
    try:
        process.wait(random.Random(seed).uniform(0, 0.2))
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    finish(tmp_path, undisturbed)
