"""The files of `docs/examples`: all are parsed, their flags exist, and the SLURM array runs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.cli import registry

ROOT = Path(__file__).parents[1]
FILES = sorted(path for path in (ROOT / "docs" / "examples").iterdir() if path.is_file())


def named(suffix: str):
    files = [path for path in FILES if path.suffix == suffix]
    return pytest.mark.parametrize("path", files, ids=lambda path: path.name)


@named(".sh")
def test_commands_and_flags_exist(path):
    lines = (line for line in path.read_text().splitlines() if not line.startswith("#"))
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = re.findall(r"jaxslice +(compress|plan|seal|verify|status) +(.*)", text)
    for command, rest in found:
        for flag in re.findall(r"(?<!\S)--(\w+)", rest):
            assert flag in registry.flag_names(command), f"{command} has no --{flag}"
    assert found or path.name == "slurm_dask.sh"


@named(".sh")
def test_scripts_are_bash(path):
    subprocess.run(["bash", "-n", path], check=True)
    assert os.access(path, os.X_OK)


@named(".yaml")
def test_kubernetes_jobs(path):
    jobs = list(yaml.safe_load_all(path.read_text()))
    assert [job["kind"] for job in jobs] == ["Job"] * 3
    array = jobs[1]["spec"]
    assert array["completionMode"] == "Indexed"
    (pod,) = array["template"]["spec"]["containers"]
    assert f"--num_shards={array['completions']}" in pod["args"]
    assert array["template"]["spec"]["terminationGracePeriodSeconds"] >= 30


@named(".json")
def test_batch_files(path):
    (command,) = lists_of_words(json.loads(path.read_text()))
    values = registry.load("compress").flags()
    values(["compress", *command[2:]])
    assert command[:2] == ["jaxslice", "compress"]


def lists_of_words(value) -> list[list[str]]:
    if isinstance(value, dict):
        return [found for part in value.values() for found in lists_of_words(part)]
    if isinstance(value, list) and value and value[0] == "jaxslice":
        return [value]
    if isinstance(value, list):
        return [found for part in value for found in lists_of_words(part)]
    return []


@named(".py")
def test_programs_compile_and_their_flags_exist(path):
    compile(path.read_text(), path.name, "exec")
    flags = re.findall(r'"--(\w+)=', path.read_text())
    assert set(flags) <= registry.flag_names("compress")


def test_the_array_of_slurm_runs(tmp_path):
    """As SLURM would start its tasks, the last one first."""
    np.save(tmp_path / "volume.npy", synthetic_volume((8, 24, 32), seed=2))
    program = tmp_path / "bin" / "jaxslice"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {shlex.join([sys.executable, str(ROOT / 'run.py')])} $@\n")
    program.chmod(0o755)
    place = tmp_path / "volume.zarr"
    variables = {
        "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "SOURCE": str(tmp_path / "volume.npy"), "ARCHIVE": str(place), "LOGS": str(tmp_path),
        "FLAGS": "--effort=fast --block_shape=4,16,16",
        "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "4",
    }  # fmt: skip
    for task in ("4", "3"):
        assert not place.exists()
        subprocess.run(
            ["bash", FILES[0].parent / "slurm_array.sh"],
            env={**os.environ, **variables, "SLURM_ARRAY_TASK_ID": task}, check=True,
        )  # fmt: skip
    assert np.array_equal(jaxslice.open(str(place))[:], np.load(tmp_path / "volume.npy"))
    logs = [(tmp_path / f"blocks-{task}.jsonl").read_text().splitlines() for task in (3, 4)]
    assert [len(log) for log in logs] == [4, 4]
