"""What a dry run says, beside what the run then takes."""

import itertools

import numpy as np
import pytest

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Stopwatch
from jaxslice.jobs.costs import Costs, Foresight
from jaxslice.jobs.encode_all import Encoding
from jaxslice.jobs.forecast import forecast
from jaxslice.jobs.resources import PROCESS_BYTES, Resources
from jaxslice.jobs.sample import Coded, Stratum, estimated_bytes, spread

FAST = jaxslice.CompressOptions(effort="fast", block_shape=(4, 16, 32))


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """Half of it is black."""
    voxels = synthetic_volume((16, 96, 128), seed=3)
    voxels[:, 48:] = 0
    path = tmp_path_factory.mktemp("forecast") / "volume.npy"
    np.save(path, voxels)
    return path


def size_of(volume, place, options):
    return jaxslice.compress(str(volume), str(place), options).compressed_bytes


def test_the_size_is_that_of_the_run_within_a_few_percent(volume, tmp_path):
    said = forecast(str(volume), tmp_path / "a.zarr", FAST)
    assert not list(tmp_path.iterdir()), "nothing is written"
    assert said["sampled_blocks"] == 16 < said["num_blocks"] == 96
    found = size_of(volume, tmp_path / "a.zarr", FAST)
    assert said["compressed_bytes_low"] <= found <= said["compressed_bytes_high"]
    assert said["compressed_bytes"] == pytest.approx(found, rel=0.05)


def test_the_size_of_all_blocks_is_exact_to_the_digits_of_metadata(volume, tmp_path):
    part = jaxslice.CompressOptions(effort="fast", block_shape=(4, 16, 32), shard_shape=(4, 32, 64))
    said = forecast(str(volume), tmp_path / "a.zarr", part, Foresight(sample_blocks=96))
    assert said["compressed_bytes_low"] == said["compressed_bytes"] == said["compressed_bytes_high"]
    assert said["compressed_bytes"] == pytest.approx(
        size_of(volume, tmp_path / "a.zarr", part), abs=20
    )
    objects = [path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()]
    assert said["objects"] == len(objects) == 4 * 3 * 2 + 2


def test_coarser_scales_count(volume, tmp_path):
    options = jaxslice.CompressOptions(effort="fast", block_shape=(4, 16, 32), downsample=1)
    said = forecast(str(volume), tmp_path / "a.zarr", options)
    made = jaxslice.compress(str(volume), str(tmp_path / "a.zarr"), options)
    assert (said["voxels"], said["num_blocks"]) == (made.voxels, made.num_blocks)


def test_costs_and_limits(volume, tmp_path):
    foresight = Foresight(4, (1, 4), price_per_core_hour=2.0, price_per_gb_month=3.0)
    said = forecast(str(volume), tmp_path / "a.zarr", FAST, foresight)
    one, four = said["for_workers"]
    assert one["seconds"] > four["seconds"] > said["seconds"]["fit"] - 0.1
    assert one["cost"] == pytest.approx(2 * one["core_hours"], abs=2e-4)
    assert said["storage_cost_per_month"] == pytest.approx(
        3e-9 * said["compressed_bytes"], abs=1e-4
    )
    assert said["memory"]["expected_bytes"] < said["memory"]["available_bytes"]


def test_blocks_go_round_by_round():
    resources = Resources(2, 4, 10, 5)
    coding = Stopwatch()
    coding._seconds |= {"encode": 3.0, "verify": 5.0, "read": 3.0}
    costs = Costs(resources, Encoding(2, 4, "all", "auto"), 3, 7.0, coding)
    assert costs.seconds_per_block == 2.0, "the half batch took as long as a full one"
    assert costs.read_seconds_per_block == 1.0
    found = costs.of_workers(5, 101, 1010, 6.0)
    assert found["seconds"] == 7 + 11 * 4, "51 batches, 5 at a time"
    assert found["memory_bytes"] == 2 * PROCESS_BYTES + 5 * 15
    assert found["cost"] == pytest.approx(6 * 5 * 51 / 3600, abs=1e-3)


@pytest.mark.parametrize("grid", [(1, 1, 7), (2, 6, 6), (40, 50, 60)])
def test_a_sample_is_spread(grid):
    found = spread(grid, 64)
    assert len(found) == len(set(found)) == min(64, np.prod(grid))
    assert all(0 <= i < n for index in found for i, n in zip(index, grid, strict=True))
    if grid == (40, 50, 60):
        for axis, n in enumerate(grid):
            quarters = np.bincount([4 * index[axis] // n for index in found[:16]], minlength=4)
            assert quarters.min() >= 2


def test_the_range_holds_the_truth_in_19_of_20_samples():
    generator = np.random.default_rng(0)
    sizes = np.concatenate([generator.normal(1000, 50, 300), generator.normal(20, 3, 200)])
    grid = [(0, 0, number) for number in range(500)]
    held = 0
    for _ in range(400):
        looked = generator.permutation(500)[:256]
        full, sparse = looked[looked < 300], looked[looked >= 300]
        strata = [
            Stratum(len(some) / 256, tuple(grid[i] for i in some[:count]))
            for some, count in ((full, 12), (sparse, 4))
        ]
        indices = itertools.chain.from_iterable(stratum.indices for stratum in strata)
        coded = {i: Coded(i, 64, int(sizes[i[2]])) for i in indices}
        found = estimated_bytes(strata, coded, 500, 500 * 64)
        held += found.low <= sizes.astype(int).sum() <= found.high
    assert 0.9 <= held / 400 <= 0.995


def test_what_cannot_be():
    with pytest.raises(UsageError, match="Got 0 blocks"):
        Foresight(0)
    with pytest.raises(UsageError, match="numbers of workers"):
        Foresight(worker_counts=())
