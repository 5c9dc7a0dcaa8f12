"""Plans, base networks and tasks are values: they print as JSON, pickle, and run anywhere."""

import dataclasses
import json
import multiprocessing
import pickle

import numpy as np
import pytest

import jaxslice
from jaxslice.archive.create import create_archive
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.jobs.base_network import fit_base_network
from jaxslice.jobs.encoding import EncodeStats, EncodeTask, encode, encode_tasks
from jaxslice.jobs.plan import MOST_OBJECTS, SHARD_BLOCKS, plan
from jaxslice.volumes.source import open_source

OPTIONS = jaxslice.CompressOptions(block_shape=(4, 16, 32), effort=0)


@pytest.fixture
def volume(tmp_path):
    path = str(tmp_path / "v.npy")
    np.save(path, synthetic_volume((8, 20, 40), seed=3))
    return path


def test_a_huge_volume_gets_shards(volume):
    source = dataclasses.replace(open_source(volume), box=Box.of_shape((20_000,) * 3))
    planned = plan(source, jaxslice.CompressOptions())
    assert planned.num_blocks > MOST_OBJECTS
    assert planned.shard_shape == tuple(
        n * b for n, b in zip(SHARD_BLOCKS, planned.block_shape, strict=True)
    )
    own = plan(source, jaxslice.CompressOptions(shard_shape=planned.block_shape))
    assert own.shard_shape == planned.block_shape, "what is requested counts"


def test_a_plan_says_what_will_be_done(volume):
    planned = plan(open_source(volume), OPTIONS)
    assert planned.block_shape == (4, 10, 20)
    assert planned.num_blocks == 8
    described = json.loads(json.dumps(planned.to_json()))
    assert described["num_blocks"] == 8
    assert described["model"] == "default"
    assert described["options"]["effort"] == 0
    assert pickle.loads(pickle.dumps(planned)) == planned


@pytest.mark.parametrize(
    ("changes", "model", "block_networks"),
    [
        ({"effort": 1}, "default", False),
        ({"effort": 2}, "default", True),
        ({"effort": 2, "model": "medium"}, "medium", True),
        ({"effort": 1, "context": "slices"}, None, False),
    ],
)
def test_the_model_is_the_efforts_unless_requested(volume, changes, model, block_networks):
    planned = plan(open_source(volume), dataclasses.replace(OPTIONS, **changes))
    assert planned.model == model
    assert planned.block_networks == block_networks


def test_a_model_that_does_not_exist_is_refused(volume):
    with pytest.raises(UsageError, match="nowhere"):
        plan(open_source(volume), dataclasses.replace(OPTIONS, model="nowhere"))


def run_elsewhere(pickled: bytes) -> EncodeStats:
    return encode(pickle.loads(pickled))


def test_other_processes_make_the_bytes_of_compress(volume, tmp_path):
    """What a cluster does: plan and fit once, then run pickled tasks in processes of their own."""
    jaxslice.compress(volume, str(tmp_path / "here.zarr"), OPTIONS)
    source = open_source(volume)
    planned = plan(source, OPTIONS)
    base = pickle.loads(pickle.dumps(fit_base_network(source, planned)))
    assert json.loads(json.dumps(base.to_json()))["network_bytes"] > 0
    provenance = {**base.provenance, "blocks_bytes": 0}
    here = open_archive(str(tmp_path / "here.zarr"))
    identity = here.configuration.identity
    configuration = dataclasses.replace(base.configuration, identity=identity)
    leaves = Leaves(here.grid_shape)
    with create_archive(
        str(tmp_path / "there.zarr"), planned.box, planned.block_shape, configuration,
        planned.placement, provenance, leaves=leaves,
    ) as made:  # fmt: skip
        values = list(encode_tasks(source, made))
        described = json.loads(json.dumps(values[0].to_json()))
        assert (described["source"], described["indices"]) == (volume, [[0, 0, 0]])
        tasks = [pickle.dumps(task) for task in values]
        assert len(tasks) == 8
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            stats = sum(pool.map(run_elsewhere, tasks), EncodeStats())
        leaves.add_all(stats.leaves)
        provenance["blocks_bytes"] = stats.payload_bytes
    assert stats.to_json()["blocks"] == 8
    there = open_archive(str(tmp_path / "there.zarr"))
    assert here.configuration == there.configuration
    assert here.seal.layers == there.seal.layers
    assert here.provenance["blocks_bytes"] == stats.payload_bytes
    for index in here.blocks():
        assert here.read_payload(index) == there.read_payload(index)


def test_a_task_pads_blocks_beyond_the_volume(volume, small_archive):
    archive = dataclasses.replace(
        open_archive(small_archive), shape=(8, 20, 40), block_shape=(8, 16, 64)
    )
    source = open_source(volume)
    archive = dataclasses.replace(archive, placement=source.placement)
    from jaxslice.jobs.task import Worker

    (first, second) = EncodeTask(source, archive, ((0, 0, 0), (0, 1, 0))).read(Worker())
    whole = np.load(volume)
    assert first.shape == second.shape == (8, 16, 64)
    np.testing.assert_array_equal(first[:, :, :40], whole[:, :16])
    np.testing.assert_array_equal(second[:, :4, :40], whole[:, 16:])
    assert not second[:, 4:].any()
    assert not first[:, :, 40:].any()
    assert archive.box == Box.of_shape((8, 20, 40))
