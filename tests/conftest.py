"""Options of JAX for the run; a small volume and its archive for tests of whole volumes."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.box import Box
from jaxslice.volumes.destination import create_destination

OFFSET = (30, 200, 100)
SHAPE = (10, 40, 50)
VOXEL_SIZE_NM = (40.0, 4.0, 4.5)
OPTIONS = jaxslice.CompressOptions(block_shape=(4, 16, 32), training_steps=50)


def pytest_configure(config: pytest.Config) -> None:
    """All tests share compiled programs, and refuse implicit broadcasts and casts.

    The promotions are options of this process, so that child processes run as users run them.
    """
    assert config.cache is not None
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("xla")))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    import jax  # Reads the environment when it is imported.

    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")


class SmallVolume(NamedTuple):
    path: str
    voxels: np.ndarray
    box: Box


def write_volume(path: Path, voxels: np.ndarray) -> SmallVolume:
    box = Box.of_shape(voxels.shape, OFFSET)
    with create_destination(str(path), box, VOXEL_SIZE_NM, chunk_shape=(8, 16, 16)) as written:
        written.write(box, voxels)
    return SmallVolume(str(path), voxels, box)


@pytest.fixture(scope="session")
def small_volume(tmp_path_factory) -> SmallVolume:
    voxels = synthetic_volume(SHAPE, seed=1)
    voxels[:, :, 45:] = 0
    return write_volume(tmp_path_factory.mktemp("source") / "volume", voxels)


@pytest.fixture(scope="session")
def small_archive(small_volume, tmp_path_factory) -> str:
    archive = str(tmp_path_factory.mktemp("archive") / "small.zarr")
    jaxslice.compress(small_volume.path, archive, OPTIONS)
    return archive


@pytest.fixture
def archive_copy(small_archive, tmp_path) -> Path:
    """An archive of the test's own, to be damaged."""
    import shutil

    return Path(shutil.copytree(small_archive, tmp_path / "copy.zarr"))
