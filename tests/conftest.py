"""Options of JAX for the run; a small volume and its archive for tests of whole volumes."""

import os
from pathlib import Path

import pytest
from small_volume import OPTIONS, SHAPE, SmallVolume, write_volume

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume


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


@pytest.fixture(scope="session", autouse=True)
def short_fits():
    """Fitting takes fewer steps than users' does; yields how many theirs takes."""
    from jaxslice.jobs import base_network

    with pytest.MonkeyPatch.context() as patch:
        steps = base_network.LEAST_FITTING_STEPS
        patch.setattr(base_network, "LEAST_FITTING_STEPS", 8)
        yield steps


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Requests that fail are repeated at once."""
    from jaxslice.storage import location

    monkeypatch.setattr(location, "RETRIES", {"initial_delay": "1ms", "max_delay": "20ms"})


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


@pytest.fixture(scope="module", params=["native", "xla"])
def each_engine(request):
    """Runs the tests of a module once with each engine that "auto" may be."""
    from jaxslice.codec.engines import interface

    if not interface._load(request.param).is_available():
        pytest.skip(f"{request.param} cannot run on this core")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interface, "_PREFERRED", (request.param,))
        yield request.param
