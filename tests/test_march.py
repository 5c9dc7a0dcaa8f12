"""The march: a block and its sheared form are the same voxels, in an order that is causal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import EARLIER, IN_SLICE, TINY

from jaxslice.config import Architecture, Geometry
from jaxslice.march import OUTSIDE, contexts_of, shear, unshear, with_borders

SHAPES = [(1, 1, 1), (4, 1, 2), (1, 6, 3), (4, 6, 1), (3, 2, 9)]
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_architecture = pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER])


@pytest.fixture(autouse=True, scope="module")
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def inside(at: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(0 <= i < n for i, n in zip(at, shape, strict=True))


def numbered(shape: tuple[int, int, int]) -> np.ndarray:
    """A block in which every voxel has a number of its own."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


@functools.lru_cache
def marched(shape: tuple[int, int, int], architecture: Architecture) -> tuple[np.ndarray, ...]:
    """The numbered block sheared, the same unsheared again, and all contexts."""
    geometry = Geometry(shape, architecture.context)

    @jax.jit
    def march(block):
        sheared = shear(block, geometry)
        history = with_borders(sheared, geometry)
        contexts = contexts_of(history, geometry.num_steps, geometry, slice(None))
        return sheared, unshear(sheared, geometry), contexts

    return jax.device_get(march(numbered(shape)))


@every_shape
@every_architecture
def test_unshear_is_the_inverse_of_shear(shape, architecture):
    sheared, again, _ = marched(shape, architecture)
    assert sheared.shape == (Geometry(shape, architecture.context).num_steps, shape[1])
    np.testing.assert_array_equal(again, numbered(shape))


@every_shape
@every_architecture
def test_voxels_are_at_the_time_and_lane_of_the_formula(shape, architecture):
    geometry = Geometry(shape, architecture.context)
    expected = np.full((geometry.num_steps, shape[1]), OUTSIDE)
    for z, y, x in np.ndindex(shape):
        expected[z * geometry.pitch + x + 2 * y, y] = numbered(shape)[z, y, x]
    np.testing.assert_array_equal(marched(shape, architecture)[0], expected)


def test_a_march_by_hand():
    # Widest |dx| is 3, so the pitch is 3 + 3.
    sheared = marched((2, 2, 3), IN_SLICE)[0]
    assert sheared[:, 0].tolist() == [0, 1, 2, -1, -1, -1, 6, 7, 8, -1, -1]
    assert sheared[:, 1].tolist() == [-1, -1, 3, 4, 5, -1, -1, -1, 9, 10, 11]


@every_shape
@every_architecture
def test_contexts_are_those_that_a_plain_loop_gathers(shape, architecture):
    geometry = Geometry(shape, architecture.context)
    block = numbered(shape)
    contexts = marched(shape, architecture)[2]
    assert contexts.dtype == np.float32
    assert contexts.shape == (geometry.num_steps, len(architecture.context), shape[1])
    for z, y, x in np.ndindex(shape):
        time = z * geometry.pitch + x + 2 * y
        expected = [
            block[at] if inside(at, shape) else OUTSIDE
            for at in ((z + dz, y + dy, x + dx) for dz, dy, dx in architecture.context)
        ]
        assert contexts[time, :, y].tolist() == expected


@every_shape
@every_architecture
def test_context_voxels_are_coded_strictly_earlier(shape, architecture):
    block, sheared = numbered(shape), marched(shape, architecture)[0]
    time_of = {int(sheared[at]): at[0] for at in np.ndindex(sheared.shape)}
    for z, y, x in np.ndindex(shape):
        for dz, dy, dx in architecture.context:
            at = (z + dz, y + dy, x + dx)
            if inside(at, shape):
                assert time_of[int(block[at])] < time_of[int(block[z, y, x])]


def test_parts_of_a_context_are_the_whole():
    geometry = Geometry((2, 3, 4), TINY.context)
    sheared, _, contexts = marched((2, 3, 4), TINY)
    history = with_borders(jnp.asarray(sheared), geometry)
    gather = lambda which: contexts_of(history, geometry.num_steps, geometry, which)
    parts = [gather(slice(6)), gather(slice(6, None)), gather(slice(10, None))]
    assert [part.shape[1] for part in parts] == [6, 4, 0]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), contexts)
