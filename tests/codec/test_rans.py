"""rANS: pop undoes push, and the words are those of the published algorithm."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxslice.codec import rans
from jaxslice.codec.message import LOWER_BOUND, flatten, unflatten
from jaxslice.core.errors import FormatError

PRECISION = 24
LANES = 5
BASE = [2**31]

jitted_push = jax.jit(rans.push, static_argnums=3)
jitted_pop = jax.jit(rans.pop, static_argnums=5)


@pytest.fixture(autouse=True, scope="module")
def strict():
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        yield


def published_push(message, starts, freqs):
    """Duda (2014), vectorised as in craystack: (states, tail), the tail's top first."""
    states, tail = message
    full = [state >= freq << (63 - PRECISION) for state, freq in zip(states, freqs, strict=True)]
    words = [state % 2**32 for state, is_full in zip(states, full, strict=True) if is_full]
    states = [
        state >> 32 if is_full else state for state, is_full in zip(states, full, strict=True)
    ]
    pushed = [
        (state // freq) * 2**PRECISION + state % freq + start
        for state, start, freq in zip(states, starts, freqs, strict=True)
    ]
    return pushed, words + tail


def published_flatten(message) -> list[int]:
    states, tail = message
    return [state >> 32 for state in states] + [state % 2**32 for state in states] + tail


def push_all(steps, lanes: int):
    """`rans.push` of (starts, freqs) one after the other: (head, tail with its top first)."""
    head, tail = jnp.full(lanes, LOWER_BOUND, jnp.uint64), np.zeros(0, np.uint32)
    for starts, freqs in steps:
        interval = jnp.asarray(starts, jnp.int32), jnp.asarray(freqs, jnp.int32)
        head, words, full = jitted_push(head, *interval, PRECISION)
        assert words.dtype == np.uint32
        tail = np.concatenate([np.asarray(words)[np.asarray(full)], tail])
    return np.asarray(head), tail


def pop_all(head, tail, steps):
    """Takes off again what `push_all` put there; checks every position on the way."""
    words = np.zeros(64, np.uint32)
    words[: len(tail)] = tail
    head, words, cursor = jnp.asarray(head), jnp.asarray(words), jnp.int32(0)
    for starts, freqs in reversed(steps):
        position = np.asarray(rans.peek(head, PRECISION))
        assert np.all(position >= starts)
        assert np.all(position < np.add(starts, freqs))
        interval = jnp.asarray(starts, jnp.int32), jnp.asarray(freqs, jnp.int32)
        head, cursor = jitted_pop(head, *interval, words, cursor, PRECISION)
    return head, int(cursor)


@st.composite
def intervals(draw) -> tuple[int, int]:
    bits = draw(st.integers(0, PRECISION))
    freq = draw(st.integers(2**bits // 2 + 1, 2**bits))
    return draw(st.integers(0, 2**PRECISION - freq)), freq


@st.composite
def steps_of(draw):
    pairs = draw(st.lists(st.tuples(*[intervals()] * LANES), max_size=8))
    return [tuple(zip(*pair, strict=True)) for pair in pairs]


@settings(max_examples=60, deadline=None)
@given(steps_of())
def test_pop_undoes_push_and_the_words_are_the_published_ones(steps):
    head, tail = push_all(steps, LANES)
    assert np.all(np.asarray(head) >= LOWER_BOUND)
    assert np.all(np.asarray(head) < 2**63)
    published = functools.reduce(
        lambda m, step: published_push(m, *step), steps, (BASE * LANES, [])
    )
    assert flatten(head, tail).tolist() == published_flatten(published)
    again, used = pop_all(*unflatten(flatten(head, tail), LANES), steps)
    assert again.tolist() == BASE * LANES
    assert used == len(tail)


def test_the_check_can_fail():
    steps = [([0] * LANES, [2**20] * LANES)] * 4
    head, tail = push_all(steps, LANES)
    wrong = [([0] * LANES, [2**20] * LANES)] * 3 + [([0] * LANES, [2**21] * LANES)]
    assert pop_all(head, tail, wrong)[0].tolist() != BASE * LANES


@pytest.mark.parametrize("lanes", [1, 15, 16, 17, 300])
def test_any_number_of_lanes(lanes):
    rng = np.random.default_rng(lanes)
    freqs = rng.integers(1, 2 ** rng.integers(1, 25, (6, lanes)) + 1)
    steps = list(zip(rng.integers(0, 2**24 - freqs + 1).tolist(), freqs.tolist(), strict=True))
    head, tail = push_all(steps, lanes)
    published = functools.reduce(
        lambda m, step: published_push(m, *step), steps, (BASE * lanes, [])
    )
    assert flatten(head, tail).tolist() == published_flatten(published)
    several = rng.integers(0, 2, (3, lanes)).astype(bool)
    counted = [np.arange(lanes) % 3 == 0, np.ones(lanes, bool), np.zeros(lanes, bool), several]
    for flags in counted:
        before, total = rans._count_before(jnp.asarray(flags))
        assert before.tolist() == (np.cumsum(flags, axis=-1) - flags).tolist()
        assert total.tolist() == flags.sum(axis=-1).tolist()


def test_words_by_hand():
    # Two lanes, three steps, both from 2**31.
    # Step 1, freq 1: 2**31 < 2**39, so no word.   Lane 0: (2**31 << 24) + 9 = 2**55 + 9.
    #                                               Lane 1: 2**55 + 5.
    # Step 2, lane 0 freq 2**10: 2**55 + 9 >= 2**49, word 9, 2**23 left;
    #                            (2**13 << 24) + 0 + 2**23 = 2**37 + 2**23.
    #         lane 1 freq 1: >= 2**39, word 5, 2**23 left; (2**23 << 24) + 0 + 3 = 2**47 + 3.
    # Step 3, lane 0 freq 3: 2**37 + 2**23 = 137447342080 < 3 * 2**39, no word;
    #                        137447342080 = 3 * 45815780693 + 1; 45815780693 * 2**24 + 1 + 7:
    #                        upper half 45815780693 >> 8 = 178967893,
    #                        lower half (45815780693 % 256 = 85) * 2**24 + 8 = 1426063368.
    #         lane 1 freq 2**5: 2**47 + 3 >= 2**44, word 3, 2**15 left; (2**10 << 24) + 0 + 1 =
    #                           2**34 + 1: halves 4 and 1.
    steps = [([9, 5], [1, 1]), ([2**23, 3], [2**10, 1]), ([7, 1], [3, 2**5])]
    head, tail = push_all(steps, 2)
    assert flatten(head, tail).tolist() == [178967893, 4, 1426063368, 1, 3, 9, 5]
    again, used = pop_all(head, tail, steps)
    assert (again.tolist(), used) == ([2**31, 2**31], 3)


def test_the_whole_range_leaves_any_state_as_it_is():
    states = [2**31, 2**31 + 12345, 2**55 + 9, 2**63 - 1, 2**62]
    head = jnp.asarray(np.array(states, np.uint64))
    start, freq = jnp.zeros(LANES, jnp.int32), jnp.full(LANES, 2**24, jnp.int32)
    pushed, _, full = jitted_push(head, start, freq, PRECISION)
    assert pushed.tolist() == states
    assert not full.any()
    words = jnp.zeros(64, jnp.uint32)
    popped, cursor = jitted_pop(head, start, freq, words, jnp.int32(0), PRECISION)
    assert (popped.tolist(), cursor.item()) == (states, 0)


def test_states_at_the_edge_of_a_word():
    # freq 1: a state of 2**39 - 1 still fits, one of 2**39 puts a word down.
    head = jnp.asarray(np.array([2**39 - 1, 2**39] + [2**31] * (LANES - 2), np.uint64))
    interval = jnp.zeros(LANES, jnp.int32), jnp.ones(LANES, jnp.int32)
    pushed, words, full = jitted_push(head, *interval, PRECISION)
    assert full.tolist() == [False, True, False, False, False]
    assert pushed.tolist()[:2] == [(2**39 - 1) << 24, 2**7 << 24]
    assert words[1] == 0


def test_a_message_too_short_moves_the_cursor_past_its_end():
    steps = [([0] * LANES, [2] * LANES)] * 6
    head, tail = push_all(steps, LANES)
    assert pop_all(head, tail[:-1], steps)[1] == len(tail) > len(tail[:-1])


def test_without_jit_the_words_are_the_same():
    steps = [([3] * LANES, [77] * LANES), ([2**20] * LANES, [2**22 + 1] * LANES)] * 2
    head, tail = push_all(steps, LANES)
    with jax.disable_jit():
        plain_head, plain_tail = push_all(steps, LANES)
        again, used = pop_all(plain_head, plain_tail, steps)
    assert plain_head.tolist() == head.tolist()
    assert plain_tail.tolist() == tail.tolist()
    assert (again.tolist(), used) == (BASE * LANES, len(tail))


@given(
    st.lists(st.integers(2**31, 2**63 - 1), min_size=1, max_size=6),
    st.lists(st.integers(0, 2**32 - 1), max_size=6),
)
def test_unflatten_is_the_inverse_of_flatten(states, tail):
    words = flatten(np.array(states, np.uint64), np.array(tail, np.uint32))
    assert words.dtype == np.uint32
    assert words.tolist() == published_flatten((states, tail))
    head, rest = unflatten(words, len(states))
    assert (head.tolist(), rest.tolist()) == (states, tail)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_message_without_its_heads_is_refused(size):
    message = f"Got a message of {size} words, expected at least 4 for 2 lanes"
    with pytest.raises(FormatError, match=message):
        unflatten(np.full(size, 2**31, np.uint32), 2)


@pytest.mark.parametrize("state", [0, 2**31 - 1, 2**63, 2**64 - 1])
def test_a_head_out_of_range_is_refused(state):
    words = flatten(np.array([2**31, state], np.uint64), np.zeros(3, np.uint32))
    with pytest.raises(FormatError, match="head out of range"):
        unflatten(words, 2)
