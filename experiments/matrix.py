"""Runs the self-test with other versions, instruction sets and numbers of devices.

    python experiments/matrix.py
    python experiments/matrix.py --only="as installed" --only="AVX2"

Rows of other environments stay in the CSV. Each row is one environment: the oldest versions that
pyproject.toml allows, the newest, another Python, or this environment with other settings of XLA.
In each, `jaxslice selftest` decodes golden archives of all format versions, encodes the same
volumes by every engine, and compares; a digest of the archives that it makes shows that the bytes
are the same everywhere.

Environments are made by uv in a temporary folder, which takes the network. uv takes a Python that
it finds on the PATH, and loads one where there is none.

Cost: two minutes a row. Expected: no check fails, and the bytes are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import common

ROOT = Path(__file__).parents[1]
OUTPUT = Path(__file__).parent / "results" / "matrix.csv"
PACKAGES = ("python", "jax", "numpy", "tensorstore", "zarr")
COLUMNS = ("environment", *PACKAGES, "engine", "devices", "passed", "failed", "skipped", "sha256")

SELFTEST = """
import sys
from jaxslice.cli.main import main
sys.argv = ["jaxslice", "selftest", "--json"]
main()
"""

BYTES = """
import hashlib, os, tempfile
import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
digest = hashlib.sha256()
with tempfile.TemporaryDirectory() as folder:
    for effort in ("fast", 0):
        place = f"{folder}/{effort}/a.zarr"
        os.makedirs(os.path.dirname(place))
        voxels = synthetic_volume((12, 80, 90), seed=1)
        # The shipped network as it is: what is fitted may differ in its last bits.
        jaxslice.compress(voxels, place, jaxslice.CompressOptions(effort=effort, seed=0))
        assert (jaxslice.open(place)[...] == voxels).all()
    from jaxslice.models import model_file
    from jaxslice.codec.network import Model
    loaded = model_file.load("default")
    model = Model(loaded.architecture, loaded.network)
    for block in jaxslice.encode_blocks([synthetic_volume((8, 40, 50), seed=2)], model):
        digest.update(block)
print(digest.hexdigest())
"""
"""What is encoded by a given network, of which the bytes must be the same everywhere."""


class Row(NamedTuple):
    """An environment.

    Attributes:
      name: for the table.
      python: version for uv; None for this very environment.
      resolution: of uv.
      variables: of the environment.
    """

    name: str
    python: str | None = None
    resolution: str = "highest"
    variables: dict[str, str] = {}  # noqa: RUF012 - never changed


ROWS = (
    Row("as installed"),
    Row("XLA with AVX2", variables={"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}),
    Row("XLA with SSE4.2", variables={"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}),
    Row("8 devices", variables={"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}),
    Row("oldest versions", "3.11", "lowest-direct"),
    Row("newest versions, Python 3.12", "3.12"),
    Row("newest versions, Python 3.13", "3.13"),
    Row("newest versions, Python 3.14", "3.14"),
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", help="name of a row")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    for row in ROWS:
        if not options.only or row.name in options.only:
            print(row.name, file=sys.stderr)
            common.replace_volume(options.output, COLUMNS, [_measured(row)], ("environment",))


def _measured(row: Row) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        python = sys.executable if row.python is None else _environment(row, Path(folder))
        if python is None:
            return {"environment": row.name, "passed": "cannot be installed"}
        variables = {**os.environ, **row.variables}
        if row.python is not None:
            variables.pop("PYTHONPATH", None)
        command = [python, "-c", SELFTEST]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
        coded = subprocess.run(
            [python, "-c", BYTES], capture_output=True, text=True, check=False, env=variables
        )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {"environment": row.name, "passed": done.stderr[-300:]}
    machine = report["machine"]
    return {
        "environment": row.name,
        **{name: machine["versions"].get(name) for name in PACKAGES},
        "engine": machine["engine"],
        "devices": len(machine["devices"]),
        "passed": report["counts"]["passed"],
        "failed": "; ".join(c["name"] for c in report["checks"] if c["outcome"] == "failed") or 0,
        "skipped": report["counts"]["skipped"],
        "sha256": coded.stdout.strip() or coded.stderr[-200:],
    }


def _environment(row: Row, folder: Path) -> str | None:
    """Makes an environment; returns its Python, or None where uv finds none that fits."""
    uv = [sys.executable, "-m", "uv"]
    python = str(folder / "bin" / "python")
    commands = (
        [*uv, "venv", "-q", "--python", str(row.python), str(folder)],
        [
            *uv,
            "pip",
            "install",
            "-q",
            "--python",
            python,
            "--resolution",
            row.resolution,
            str(ROOT),
        ],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr[-1000:], file=sys.stderr)
            return None
    return python


if __name__ == "__main__":
    main()
