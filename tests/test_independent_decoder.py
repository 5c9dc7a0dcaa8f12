"""A decoder in C that was written from FORMAT.md alone reads what the package writes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.native import build

FOLDER = Path(__file__).parent / "independent_decoder"
GOLDEN = Path(__file__).parent / "golden"
ARCHIVES = sorted(GOLDEN.glob("v?/*.zarr"))
DAMAGED = sorted(path for path in (GOLDEN / "damaged").glob("v?/*") if path.is_dir())
OPTIONS = jaxslice.CompressOptions(effort="fast", block_shape=(4, 32, 40))


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
    command = build.compiler()
    assert command is not None
    place = str(tmp_path_factory.mktemp("decoder") / "decode")
    sources = map(str, sorted(FOLDER.glob("*.c")))
    subprocess.run([*command, "-O2", "-std=c11", *sources, "-o", place], check=True)
    return place


def decode(program: str, archive: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [program, str(archive), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_archives(program, tmp_path, archive: Path):
    done = decode(program, archive, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    expected = json.loads((archive.parent / "voxels_sha256.json").read_text())
    found = hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert found == expected[archive.stem]


@pytest.mark.parametrize("archive", DAMAGED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_damaged_archives(program, tmp_path, archive: Path):
    done = decode(program, archive, tmp_path / "out")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def deep(bits: int, gap: int, seed: int = 1) -> np.ndarray:
    """Voxels of up to 16 bits, all multiples of a gap, darker in some slices."""
    voxels = synthetic_volume((6, 50, 60), seed=seed).astype(np.uint16)
    noise = np.random.default_rng(seed).integers(0, 1 << max(bits - 8, 0), voxels.shape)
    wide = ((voxels << max(bits - 8, 0)) + noise) // gap * gap
    wide[2::3] //= 2 * gap
    wide[2::3] *= gap
    return wide.astype(np.uint16)


FRESH = {
    "fast": (synthetic_volume((6, 50, 60), seed=1), {}),
    "effort 0": (synthetic_volume((6, 50, 60), seed=2), {"effort": 0}),
    "sharded": (synthetic_volume((9, 70, 60), seed=3), {"shard_shape": (8, 64, 80)}),
    "several scales": (synthetic_volume((6, 50, 60), seed=4), {"downsample": 2}),
    "12 bits": (deep(12, 1), {"effort": 0}),
    "14 bits with gaps": (deep(14, 4), {"effort": 0}),
    "16 bits": (deep(16, 1), {"effort": 0}),
    "16 bits of few levels": (deep(16, 257), {"effort": 0}),
}


@pytest.mark.parametrize("name", FRESH)
def test_new_archives(program, tmp_path, name):
    voxels, change = FRESH[name]
    options = dataclasses.replace(OPTIONS, **change)
    jaxslice.compress(voxels, tmp_path / "a.zarr", options)
    done = decode(program, tmp_path / "a.zarr", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = np.fromfile(tmp_path / "out", voxels.dtype.newbyteorder("<"))
    np.testing.assert_array_equal(found.reshape(voxels.shape), voxels)
