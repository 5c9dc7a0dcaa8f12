"""A folder that fills while it is followed: layers as they are complete, never half a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.jobs.follow import Arrivals, follow
from jaxslice.jobs.options import Following

OPTIONS = jaxslice.CompressOptions(effort="fast", block_shape=(4, 32, 32))
FOLLOWING = Following(depth=4, poll_seconds=1, quiet_seconds=5)


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return synthetic_volume((10, 32, 40), seed=1)


def encoded(picture: np.ndarray) -> bytes:
    return imagecodecs.png_encode(np.ascontiguousarray(picture))


class Microscope:
    """Writes what a step says each time that the follower waits."""

    def __init__(self, steps: list[Callable[[], None]]) -> None:
        self.steps, self.waited = list(steps), 0.0

    def __call__(self, seconds: float) -> None:
        self.waited += seconds
        if self.steps:
            self.steps.pop(0)()


def test_layers_are_written_as_slices_arrive(tmp_path: Path, voxels):
    folder, archive = tmp_path / "slices", tmp_path / "a.zarr"
    folder.mkdir()
    depths = []

    def write(number: int, part: slice = slice(None)) -> Callable[[], None]:
        def step() -> None:
            depths.append(jaxslice.open(archive).shape[0] if archive.exists() else 0)
            (folder / f"slice{number}.png").write_bytes(encoded(voxels[number])[part])

        return step

    # The sixth slice is written in two goes.
    steps = [write(n) for n in range(6)] + [write(6, slice(0, 90)), write(6)]
    steps += [write(n) for n in range(7, 10)] + [lambda: (folder / "done").touch()]
    report = follow(folder, archive, OPTIONS, FOLLOWING, wait=Microscope(steps))
    np.testing.assert_array_equal(jaxslice.open(archive)[...], voxels)
    assert depths == sorted(depths)
    assert {0, 4} <= set(depths)
    assert report.details["layers"] == 3
    assert report.details["most_waiting_slices"] <= 4 + 1
    assert report.details["longest_lag_seconds"] > 0
    assert report.details["peak_memory_bytes"] > 1 << 20


def test_a_restart_goes_on_and_silence_ends_it(tmp_path: Path, voxels):
    folder, archive = tmp_path / "slices", tmp_path / "a.zarr"
    folder.mkdir()
    for number in range(5):
        (folder / f"s{number}.png").write_bytes(encoded(voxels[number]))
    first = Microscope([])
    follow(folder, archive, OPTIONS, FOLLOWING, wait=first)
    assert jaxslice.open(archive).shape[0] == 5
    assert first.waited <= FOLLOWING.quiet_seconds + 2
    with pytest.raises(UsageError, match="no new picture"):
        follow(folder, archive, OPTIONS, FOLLOWING, wait=Microscope([]))
    for number in range(5, 10):
        (folder / f"s{number}.png").write_bytes(encoded(voxels[number]))
    follow(folder, archive, OPTIONS, FOLLOWING, wait=Microscope([]))
    np.testing.assert_array_equal(jaxslice.open(archive)[...], voxels)


def test_a_picture_that_comes_too_late_is_an_error(tmp_path: Path, voxels):
    arrivals = Arrivals(tmp_path, "done")
    for number in (1, 2):
        (tmp_path / f"s{number}.png").write_bytes(encoded(voxels[number]))
    arrivals.look()
    assert arrivals.whole == []
    arrivals.look()
    assert len(arrivals.whole) == 2
    (tmp_path / "s0.png").write_bytes(encoded(voxels[0]))
    with pytest.raises(SourceDataError, match="order of arrival"):
        arrivals.look()
