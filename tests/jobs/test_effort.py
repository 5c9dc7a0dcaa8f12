"""Efforts: bounded work, whatever the volume and the network."""

import dataclasses

import pytest

from jaxslice.jobs.effort import BATCH_VOXELS, EFFORTS, block_network_steps, model_for, tuning_steps
from jaxslice.models.presets import FULL

SMALLEST, LARGEST = 1, 10**15
WIDE = dataclasses.replace(FULL, hidden=(128, 128))


def test_more_effort_is_more_work():
    assert [effort.tuning > 0 for effort in EFFORTS] == [False, True, True, True]
    assert [effort.block_network > 0 for effort in EFFORTS] == [False, False, True, True]
    assert EFFORTS[3].tuning > EFFORTS[2].tuning >= EFFORTS[1].tuning
    assert EFFORTS[3].block_network > EFFORTS[2].block_network


@pytest.mark.parametrize("architecture", [FULL, WIDE])
def test_tuning_takes_the_same_time_for_every_volume_and_network(architecture):
    steps = tuning_steps(EFFORTS[1], architecture, LARGEST)
    work = steps * BATCH_VOXELS * architecture.multiply_adds_per_voxel
    assert 0.3 * EFFORTS[1].tuning < work <= 1.01 * EFFORTS[1].tuning
    assert steps == tuning_steps(EFFORTS[1], architecture, 10**9)
    assert 1 <= tuning_steps(EFFORTS[1], architecture, SMALLEST) <= 2
    assert tuning_steps(EFFORTS[1], architecture, 10**5) < steps


def test_block_networks_take_time_as_blocks_have_voxels():
    small, large = (block_network_steps(EFFORTS[2], FULL, voxels) for voxels in (10**6, 4 * 10**6))
    assert large == pytest.approx(4 * small, rel=0.01)
    assert block_network_steps(EFFORTS[2], WIDE, 4 * 10**6) < large
    alone = block_network_steps(EFFORTS[2], FULL, 4 * 10**6, num_blocks=1)
    assert alone == pytest.approx(large / 2, rel=0.01)


def test_small_volumes_do_not_carry_large_networks():
    assert [model_for(effort, 10**8) for effort in EFFORTS] == [
        "default", "default", "medium", "large",
    ]  # fmt: skip
    assert [model_for(effort, 10**7) for effort in EFFORTS[2:]] == ["medium", "medium"]
    assert {model_for(effort, 10**6) for effort in EFFORTS} == {"default"}
