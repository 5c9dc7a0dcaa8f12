"""The march: a block and its sheared form are the same voxels, in an order that is causal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import EARLIER, IN_SLICE, SHEARED, TINY

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.history import contexts_of, rows_of
from jaxslice.codec.march import OUTSIDE, shear, unshear
from jaxslice.models.presets import FULL

SHAPES = [(1, 1, 1), (4, 1, 2), (1, 6, 3), (4, 6, 1), (3, 2, 9)]
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_architecture = pytest.mark.parametrize("architecture", [TINY, IN_SLICE, EARLIER, SHEARED])


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
def marched(
    shape: tuple[int, int, int], architecture: Architecture, blocks: int = 1
) -> tuple[np.ndarray, ...]:
    """Numbered blocks sheared, the same unsheared again, and all contexts [c, t, block, lane]."""
    geometry = Geometry.of(shape, architecture, blocks)
    stacked = np.stack([numbered(shape) + 1000 * index for index in range(blocks)])
    sheared = shear(stacked, np.array([shape] * blocks, np.int32), geometry, stacked.dtype)
    history = history_of(sheared, geometry)
    contexts = np.asarray(gathered(history, geometry.lead, geometry.num_rows, geometry))
    return sheared, unshear(lanes_of(sheared, geometry), geometry), contexts


def lanes_of(sheared: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Rows of the history without their margins."""
    return sheared[:, :, geometry.margin : geometry.margin + geometry.lanes]


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def gathered(
    history: jax.Array,
    start: int,
    steps: int,
    geometry: Geometry,
    first: int = 0,
    end: int | None = None,
) -> jax.Array:
    """Contexts of some time steps, from number `first` to `end`."""
    which = slice(first, end)
    count = len(geometry.context[which])
    room = jnp.full((count, steps, geometry.blocks, geometry.lanes), 77, jnp.int16)
    return contexts_of(room, history, start, steps, geometry, which)


def history_of(sheared: np.ndarray, geometry: Geometry) -> jax.Array:
    """The sheared blocks after as many rows of OUTSIDE as the lags reach back."""
    before = np.full((geometry.lead, *sheared.shape[1:]), OUTSIDE, np.int16)
    return jnp.concatenate([before, sheared])


@every_shape
@every_architecture
def test_unshear_is_the_inverse_of_shear(shape, architecture):
    sheared, again, _ = marched(shape, architecture)
    geometry = Geometry.of(shape, architecture)
    assert sheared.shape == (geometry.num_rows, 1, geometry.lane_pitch)
    np.testing.assert_array_equal(again, numbered(shape)[None])


@every_shape
@every_architecture
def test_voxels_are_at_the_time_and_lane_of_the_formula(shape, architecture):
    geometry = Geometry.of(shape, architecture)
    expected = np.full((geometry.num_rows, 1, geometry.lane_pitch), OUTSIDE)
    for z, y, x in np.ndindex(shape):
        time = z * geometry.pitch + x + architecture.shear * y
        expected[time, 0, geometry.margin + y] = numbered(shape)[z, y, x]
    np.testing.assert_array_equal(marched(shape, architecture)[0], expected)


def shifted_by(number: int, part: np.ndarray) -> np.ndarray:
    return np.where(part == OUTSIDE, OUTSIDE, part + number)


def test_blocks_side_by_side_do_not_touch():
    shape = (3, 2, 9)
    sheared, again, contexts = marched(shape, TINY, 3)
    assert sheared.shape[1] == 3
    alone = marched(shape, TINY)
    for index in range(3):
        shifted = functools.partial(shifted_by, 1000 * index)
        np.testing.assert_array_equal(sheared[:, index], shifted(alone[0][:, 0]))
        np.testing.assert_array_equal(again[index], numbered(shape) + 1000 * index)
        inside = contexts[:, :, index, : shape[1]]
        np.testing.assert_array_equal(inside, shifted(alone[2][:, :, 0, : shape[1]]))


def test_a_march_by_hand():
    # Widest |dx| is 3, so the pitch is 3 + 3.
    geometry = Geometry((2, 2, 3), IN_SLICE.context)
    sheared = lanes_of(marched((2, 2, 3), IN_SLICE)[0], geometry)[:, 0]
    assert sheared[:11, 0].tolist() == [0, 1, 2, -1, -1, -1, 6, 7, 8, -1, -1]
    assert sheared[:11, 1].tolist() == [-1, -1, 3, 4, 5, -1, -1, -1, 9, 10, 11]


@every_shape
@every_architecture
def test_contexts_are_those_that_a_plain_loop_gathers(shape, architecture):
    geometry = Geometry.of(shape, architecture)
    block = numbered(shape)
    contexts = marched(shape, architecture)[2]
    assert contexts.dtype == np.int16
    count = len(architecture.context)
    assert contexts.shape == (count, geometry.num_rows, 1, geometry.lanes)
    for z, y, x in np.ndindex(shape):
        time = z * geometry.pitch + x + architecture.shear * y
        expected = [
            block[at] if inside(at, shape) else OUTSIDE
            for at in ((z + dz, y + dy, x + dx) for dz, dy, dx in architecture.context)
        ]
        assert contexts[:, time, 0, y].tolist() == expected


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


@pytest.mark.parametrize("architecture", [TINY, FULL])
def test_parts_of_a_context_and_single_steps_are_the_whole(architecture):
    geometry = Geometry.of((2, 3, 4), architecture)
    sheared, _, contexts = marched((2, 3, 4), architecture)
    history = history_of(sheared, geometry)
    count = len(architecture.context)
    gather = lambda start, steps, *which: gathered(history, start, steps, geometry, *which)
    together = [
        gather(geometry.lead, geometry.num_rows, *which)
        for which in ((0, 6), (6, None), (count, None))
    ]
    assert [len(part) for part in together] == [6, count - 6, 0]
    np.testing.assert_array_equal(np.concatenate(together), contexts)
    one_by_one = [gather(geometry.lead + time, 1) for time in range(geometry.num_rows)]
    np.testing.assert_array_equal(np.concatenate(one_by_one, axis=1), contexts)


def test_what_is_not_gathered_stays_in_the_room():
    geometry = Geometry((2, 3, 4), TINY.context)
    block, extents = numbered((2, 3, 4))[None], np.array([(2, 3, 4)], np.int32)
    history = history_of(shear(block, extents, geometry, block.dtype), geometry)
    room = jnp.full((len(TINY.context), 1, 1, geometry.lanes), 77, jnp.int16)
    part = contexts_of(room, history, geometry.lead, 1, geometry, slice(4))
    np.testing.assert_array_equal(part[:4], gathered(history, geometry.lead, 1, geometry, 0, 4))
    assert np.all(part[4:] == 77)


@pytest.mark.parametrize("height", [1, 15, 16, 33])
def test_rows_of_the_history_have_margins(height):
    geometry = Geometry((2, height, 4), TINY.context, 3)
    lanes = np.arange(2 * geometry.step_width).reshape(2, 3, geometry.lanes)
    rows = np.asarray(rows_of(jnp.asarray(lanes), geometry))
    assert rows.shape == (2, 3, geometry.lane_pitch)
    np.testing.assert_array_equal(lanes_of(rows, geometry), lanes)
    assert (rows == OUTSIDE).sum() == 2 * 3 * 2 * 2


def test_beyond_the_extents_is_outside():
    geometry = Geometry.of((2, 3, 4), TINY, 1)
    block = numbered((2, 3, 4))[None]
    expected = np.full_like(block, OUTSIDE)
    expected[:, :1, :2, :3] = block[:, :1, :2, :3]
    sheared = shear(block, np.array([(1, 2, 3)], np.int32), geometry, block.dtype)
    assert np.array_equal(unshear(lanes_of(sheared, geometry), geometry), expected)
