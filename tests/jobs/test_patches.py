"""Patches: parts of blocks, each once, with the context that coding them will have."""

import numpy as np
import pytest

from jaxslice.core.box import Box
from jaxslice.jobs import patches
from jaxslice.jobs.patches import sample_patches
from jaxslice.volumes.source import open_source


@pytest.fixture
def volume(tmp_path):
    """Noise, so that every patch can be found again in it."""
    noise = np.random.default_rng(0).integers(0, 256, (45, 12, 14), np.uint8)
    np.save(tmp_path / "v.npy", noise)
    return open_source(str(tmp_path / "v.npy"))


def _found(volume, patch) -> Box:
    """Where a patch was taken from."""
    whole = volume.read(volume.box)
    shape = patch.voxels.shape
    windows = np.lib.stride_tricks.sliding_window_view(whole, shape)
    hits = np.argwhere((windows == patch.voxels).all(axis=(3, 4, 5)))
    assert len(hits) == 1
    return Box.of_shape(shape, tuple(map(int, hits[0])))


def test_all_patches_together_are_the_volume(volume):
    drawn = sample_patches(volume, (20, 8, 8), 1000, 2, seed=0)
    seen = np.zeros(volume.shape, int)
    for patch in drawn:
        box = _found(volume, patch)
        own = Box((box.start[0] + patch.lead, *box.start[1:]), box.stop)
        seen[own.slices] += 1
        # Blocks are 20 slices deep, so patches are half of that.
        assert own.start[0] % 10 == 0
        assert patch.lead == (2 if own.start[0] % 20 else 0)
        assert own.start[1] % 8 == own.start[2] % 8 == 0
    assert (seen == 1).all()


def test_the_draw_is_seeded_and_bounded(volume):
    first, again, other = (sample_patches(volume, (20, 8, 8), 3, 2, seed) for seed in (1, 1, 2))
    assert len(first) == len(other) == 3
    same = lambda a, b: all(np.array_equal(p.voxels, q.voxels) for p, q in zip(a, b, strict=True))
    assert same(first, again)
    assert not same(first, other)


def test_large_blocks_are_cut_along_y_and_x(volume, monkeypatch):
    monkeypatch.setattr(patches, "LARGEST_SIDE", 5)
    drawn = sample_patches(volume, (45, 12, 14), 1000, 2, seed=0)
    assert {patch.voxels.shape[1:] for patch in drawn} == {(4, 5), (4, 4)}
    assert sum((patch.voxels.shape[0] - patch.lead) * patch.voxels[0].size for patch in drawn) == (
        45 * 12 * 14
    )


def test_repeated_slices_are_not_drawn(volume):
    voxels = volume.read(volume.box)[:8]
    voxels[1], voxels[3], voxels[6], voxels[7] = voxels[0], voxels[2], 5, voxels[2]
    patch = patches.without_repeats(patches.Patch(voxels, 3))
    np.testing.assert_array_equal(patch.voxels, voxels[[0, 2, 4, 5]])
    assert patch.lead == 2
    alone = patches.Patch(voxels[[0, 2, 6, 6]], 2)
    assert patches.without_repeats(alone) is alone


def _sparse(shape, background: int, tissue: tuple[slice, slice, slice]) -> np.ndarray:
    voxels = np.full(shape, background, np.uint8)
    noise = np.random.default_rng(1).integers(20, 230, shape, dtype=np.uint8)
    voxels[tissue] = noise[tissue]
    return voxels


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_patches_come_from_where_there_is_something(background: int, dtype):
    tissue = (slice(None), slice(40, 76), slice(100, 140))
    voxels = _sparse((32, 160, 180), background, tissue).astype(dtype)
    assert 0.04 < (voxels != background).mean() < 0.06
    drawn = sample_patches(open_source(voxels), (16, 16, 16), 8, 2, seed=0)
    assert len(drawn) == 8
    for patch in drawn:
        assert (patch.voxels != background).mean() > 0.05


def test_a_tilted_slab_is_found():
    z, y, x = np.indices((40, 60, 60))
    noise = np.random.default_rng(0).integers(20, 230, z.shape, dtype=np.uint8)
    voxels = np.where(np.abs(x - y - z // 2) < 4, noise, 0).astype(np.uint8)
    drawn = sample_patches(open_source(voxels), (20, 20, 20), 6, 2, seed=0)
    assert len(drawn) == 6
    assert all(patch.voxels.any() for patch in drawn)


def test_a_volume_of_nothing_has_one_patch():
    for value in (0, 9, 255):
        voxels = np.full((20, 30, 40), value, np.uint8)
        drawn = sample_patches(open_source(voxels), (20, 16, 16), 6, 2, seed=0)
        assert len(drawn) == 1
        assert (drawn[0].voxels == value).all()
