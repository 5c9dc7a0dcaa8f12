"""Augmentation: seeded, in bounds, and each change does what it says."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxslice.core.errors import UsageError
from jaxslice.training.augment import NOTHING, Augmentation, augment, largest_crop

SHAPE = (4, 12, 16)


def _crop(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 200, largest_crop(SHAPE), np.uint8)


def _many(count: int = 20, crop: np.ndarray | None = None, **shares) -> list[np.ndarray]:
    """Patches of a crop; if not given, of one that leaves no choice of where to take them from."""
    crop = _crop()[:4, :12, :16] if crop is None else crop
    augmentation = dataclasses.replace(NOTHING, **shares)
    generator = np.random.default_rng(0)
    return [augment(crop, SHAPE, augmentation, generator) for _ in range(count)]


def test_nothing_is_the_crop_itself():
    (patch,) = _many(1)
    np.testing.assert_array_equal(patch, _crop()[:4, :12, :16])


def test_patches_come_from_anywhere_in_the_crop():
    crop = np.indices((6, 13, 18)).sum(axis=0).astype(np.uint8)
    places = np.lib.stride_tricks.sliding_window_view(crop, SHAPE)
    patches = _many(300, crop)
    for patch in patches:
        assert (places == patch).all(axis=(3, 4, 5)).any()
    assert {int(patch[0, 0, 0]) for patch in patches} == set(range(2 + 1 + 2 + 1))


@given(st.integers(0, 2**32), st.tuples(*[st.integers(1, 30)] * 3))
@settings(max_examples=50, deadline=None)
def test_same_seed_same_patch_of_bytes_in_the_shape(seed, crop_shape):
    crop = np.random.default_rng(seed).integers(0, 256, crop_shape, np.uint8)
    before = crop.copy()
    first, again = (
        augment(crop, SHAPE, Augmentation(), np.random.default_rng(seed)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(crop, before)
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert min(first.shape) >= 1
    assert first.shape[0] <= SHAPE[0]
    assert max(first.shape[1:]) <= max(SHAPE)


def test_resampling_changes_roughness_and_neither_mean_nor_shape():
    plain = _crop()[:4, :12, :16]
    roughness = lambda patch: np.abs(np.diff(patch.astype(float), axis=2)).mean()
    patches = _many(100, resample=1)
    assert {patch.shape for patch in patches} == {plain.shape}
    assert len({patch.tobytes() for patch in patches}) == 100
    shares = [roughness(patch) / roughness(plain) for patch in patches]
    assert min(shares) < 0.8
    assert max(shares) > 1.1
    assert max(abs(patch.mean() - plain.mean()) for patch in patches) < 4


def test_a_constant_patch_stays_so_under_any_filter():
    generator = np.random.default_rng(3)
    even = dataclasses.replace(NOTHING, resample=1)
    for _ in range(20):
        assert set(
            np.unique(augment(np.full((6, 8, 8), 77, np.uint8), SHAPE, even, generator))
        ) == {77}


def test_flips_keep_the_voxels():
    plain = _crop()[:4, :12, :16]
    patches = _many(200, flip=0.5)
    assert {patch.shape for patch in patches} == {(4, 12, 16), (4, 16, 12)}
    assert len({patch.tobytes() for patch in patches}) == 16
    for patch in patches:
        np.testing.assert_array_equal(np.sort(patch, axis=None), np.sort(plain, axis=None))


def test_coarsening_averages_squares():
    crop = _crop()[:8].astype(int)
    exact = crop.reshape(8, 12, 2, 16, 2).sum(axis=(2, 4)) / 4
    kinds = set()
    for patch in _many(40, _crop()[:8], coarsen=1):
        whole = {name: np.abs(patch - e).max() for name, e in (("z", exact[:8:2]), ("", exact[:4]))}
        name = min(whole, key=whole.get)
        assert whole[name] <= 1
        kinds.add((name, bool(whole[name] > 0.5)))
    assert len(kinds) == 4, "all or every second slice, dithered or not"


def test_skipping_takes_every_second_or_third_slice():
    plain = _crop()[:, :12, :16]
    found = {patch.tobytes() for patch in _many(100, plain, skip=1)}
    twos = {plain[first : first + 8 : 2].tobytes() for first in range(5)}
    assert found == twos | {plain[::3].tobytes()}


def test_contrast_leaves_gaps_or_merges_or_saturates():
    levels = len(np.unique(_crop()[:4, :12, :16]))
    counts, ends, gaps = [], 0, 0
    for patch in _many(60, contrast=1):
        used = np.unique(patch)
        counts.append(len(used))
        ends += used[-1] == 255
        gaps += np.diff(used).mean() > 1.3
    assert min(counts) < 0.7 * levels
    assert ends > 0
    assert gaps > 0


def test_blank_parts_have_one_level_and_the_rest_is_as_it_was():
    plain = _crop()[:4, :12, :16]
    patches = _many(60, blank=1)
    shares, levels = [], set()
    for patch in patches:
        changed = patch != plain
        levels |= {tuple(np.unique(patch[changed]))}
        shares.append(changed.mean())
    assert all(len(found) <= 1 for found in levels)
    assert (0,) in levels
    assert len(levels) > 3
    assert 0.3 < np.mean(shares) < 0.7


def test_noise_is_as_wide_as_it_should_be():
    plain = _crop()[:4, :12, :16].astype(int)
    spreads = [(patch - plain).std() for patch in _many(60, noise=1)]
    assert 0.9 < min(spreads) < 3
    assert 7 < max(spreads) < 11


@pytest.mark.parametrize(
    ("shares", "message"),
    [({"flip": -0.1}, "-0.1 of flip"), ({"noise": 1.5}, "1.5 of noise"),
     ({"coarsen": 0.6, "skip": 0.5}, "exclude")],
)  # fmt: skip
def test_impossible_shares_are_refused(shares, message):
    with pytest.raises(UsageError, match=message):
        Augmentation(**shares)
