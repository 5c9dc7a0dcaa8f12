"""Bins of 16-bit voxels: exact, monotone, and never empty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_for_tests import TINY

from jaxslice.codec import bins, intervals
from jaxslice.codec.curve import INVERSE_SCALE_HIGH, TOTAL, WEIGHT_TOTAL
from jaxslice.codec.features import features_of
from jaxslice.codec.numpy_features import numpy_features_of

WIDE = TINY.of_voxels(np.uint16)


def mixture_for(limit: int, shift: int, reference: int, seed: int) -> intervals.WideMixture:
    """Two components anywhere in their ranges, for one voxel."""
    rng = np.random.default_rng(seed)
    first = int(rng.integers(0, WEIGHT_TOTAL + 1))
    column = lambda values: jnp.asarray(values, jnp.int32).reshape(-1, 1)
    return intervals.WideMixture(
        column(rng.integers(bins.MEAN_LOW, bins.MEAN_HIGH + 1, 2)),
        column(np.exp2(rng.uniform(0, np.log2(INVERSE_SCALE_HIGH), 2)).astype(int)),
        column([first, WEIGHT_TOTAL - first]),
        bins.Bins(column([reference]), column([shift]), column([(limit - 1).bit_length()])),
    )


@st.composite
def cases(draw):
    limit = draw(
        st.one_of(
            st.sampled_from([1, 2, 3, 255, 256, 257, 4096, 1 << 15, (1 << 15) + 1, 65535, 65536]),
            st.integers(1, 1 << 16),
        )
    )
    shift, seed = draw(st.integers(0, bins.SHIFT_HIGH)), draw(st.integers(0, 1 << 30))
    reference = draw(st.integers(0, limit - 1)) >> shift << shift
    return limit, mixture_for(limit, shift, reference, seed)


@jax.jit
def all_starts(mixture: intervals.WideMixture, limit: jax.Array):
    """C of every bin and what lies beyond, and the number of bins."""
    count = bins.count_of(mixture.bins, limit)
    index = jnp.arange((1 << 16) + 1, dtype=jnp.int32)
    spread = jax.tree.map(lambda part: jnp.broadcast_to(part, (len(part), len(index))), mixture)
    return intervals.cumulative(spread, index, jnp.broadcast_to(count, index.shape)), count[0]


find_interval = jax.jit(intervals.find_interval)


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_no_bin_is_empty_and_all_together_are_everything(case):
    limit, mixture = case
    starts, count = all_starts(mixture, jnp.asarray([limit], jnp.int32))
    starts = np.asarray(starts)[: int(count) + 1]
    assert starts[0] == 0
    assert starts[-1] == TOTAL
    assert np.diff(starts.astype(np.int64)).min() >= 1


@settings(max_examples=40, deadline=None)
@given(case=cases(), share=st.floats(0, 1, exclude_max=True))
def test_the_search_finds_the_bin_of_a_position(case, share):
    limit, mixture = case
    position = jnp.asarray([int(share * TOTAL)], jnp.int32)
    count = bins.count_of(mixture.bins, jnp.asarray([limit], jnp.int32))
    found, start, freq = find_interval(mixture, position, count)
    assert 0 <= int(found[0]) < int(count[0])
    assert int(start[0]) <= int(position[0]) < int(start[0]) + int(freq[0])
    starts, _ = all_starts(mixture, jnp.asarray([limit], jnp.int32))
    assert int(start[0]) == int(starts[int(found[0])])


@pytest.mark.parametrize("limit", [1, 2, 256, 4096, 65536])
def test_every_symbol_is_one_bin_and_its_low_bits(limit):
    for shift in range(bins.SHIFT_HIGH + 1):
        mixture = mixture_for(limit, shift, 0, 1)
        (low_bits,) = bins.low_bits_of(mixture.bins).tolist()
        (count,) = bins.count_of(mixture.bins, jnp.asarray([limit], jnp.int32)).tolist()
        assert 0 <= low_bits <= 7
        assert (limit - 1) >> low_bits == count - 1


def test_inputs_are_those_of_int64():
    """The formula of FORMAT.md, section 10, in numbers that cannot overflow."""
    rng = np.random.default_rng(3)
    count, size = 4096, len(WIDE.context)
    limit = rng.choice([2, 200, 5000, 65536], count)
    v = (rng.random((size, count)) * limit).astype(np.int64)
    v[:, ::3] = np.clip(v[:1, ::3] + rng.integers(-40, 41, (size, len(v[0, ::3]))), 0, None)
    v = np.minimum(v, limit - 1)
    v[rng.random(v.shape) < 0.1] = -1
    features = features_of(jnp.asarray(v, jnp.int32), WIDE, jnp.asarray(limit, jnp.int32))

    f = np.where(v[WIDE.fallback] < 0, limit >> 1, v[WIDE.fallback])
    a = np.where(v[0] < 0, np.where(v[1] < 0, f, v[1]), v[0])
    b = np.where(v[1] < 0, a, v[1])
    c, d = np.where(v[2] < 0, b, v[2]), np.where(v[3] < 0, a, v[3])
    r0 = (3 * a + 3 * b + c + d) >> 3
    near = v[: WIDE.activity_count]
    t = np.where(near < 0, 0, abs(near - r0)).sum(axis=0)
    s = np.array([min(int(value >> 8).bit_length(), 8) for value in t])
    reference = r0 >> s << s
    differences = np.clip((v - reference + (1 << s >> 1)) >> s, -128, 127)
    near, offset = t >> s, WIDE.activity_offset
    activity = np.minimum(near + np.where(s > 0, near * offset >> 8, offset), 4096)

    assert set(s) == set(range(9))
    np.testing.assert_array_equal(features.bins.shift[0], s)
    np.testing.assert_array_equal(features.reference, reference)
    np.testing.assert_array_equal(features.differences, np.where(v < 0, 0, differences))
    np.testing.assert_array_equal(features.activity, activity)
    beyond = np.array([max((int(n) - 1).bit_length() - 8, 0) for n in limit])
    tone, loglevel = np.asarray(features.extras)
    np.testing.assert_array_equal(tone, (reference >> beyond) - 128)
    assert np.abs(tone).max() <= 128
    assert -176 <= loglevel.min() <= loglevel.max() <= 208


def test_small_activities_are_those_of_8_bits():
    """Up to a sum of 255, inputs are as those of 8-bit voxels."""
    rng = np.random.default_rng(5)
    contexts = (100 + rng.integers(-9, 10, (len(WIDE.context), 256))).astype(np.int32)
    narrow = features_of(jnp.asarray(contexts), TINY)
    wide = features_of(jnp.asarray(contexts), WIDE, jnp.full(256, 256, jnp.int32))
    np.testing.assert_array_equal(wide.differences, narrow.differences)
    np.testing.assert_array_equal(wide.reference, narrow.reference)
    more = WIDE.activity_offset - TINY.activity_offset
    np.testing.assert_array_equal(wide.activity, narrow.activity + more)


def test_numpy_features_are_the_same():
    """What fitting without JAX sees is what is coded."""
    rng = np.random.default_rng(8)
    count, size = 4096, len(WIDE.context)
    limit = rng.choice([2, 200, 5000, 65536], count).astype(np.int32)
    v = np.minimum((rng.random((size, count)) * limit).astype(np.int32), limit - 1)
    near = v[:1, ::3] + rng.integers(-40, 41, v[:, ::3].shape)
    v[:, ::3] = np.clip(near, 0, limit[::3] - 1)
    v[rng.random(v.shape) < 0.1] = -1
    coded = features_of(jnp.asarray(v), WIDE, jnp.asarray(limit))
    fitted = numpy_features_of(v, WIDE, limit)
    for name in ("differences", "reference", "activity", "gain", "extras"):
        np.testing.assert_array_equal(getattr(fitted, name), getattr(coded, name), name)
