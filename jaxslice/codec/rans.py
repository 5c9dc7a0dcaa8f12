"""Range asymmetric numeral systems (Duda 2014), in the message format of craystack.

A message is (head, tail): one uint64 state per lane within [2**31, 2**63), and a stack of uint32
words that all lanes share. `push` puts one symbol on every lane, given as intervals out of
2**precision; `pop` takes it off again. Both are pure, and inverse to each other:

    push: state -> (state // freq << precision) + state % freq + start
    pop:  state -> freq * (state >> precision) + state % 2**precision - start

A lane whose state would leave its range moves 32 bits to the tail before a push, or fetches 32 bits
after a pop. The lanes that do so at one step put their words down in lane order. An interval of
(0, 2**precision) leaves a lane as it is: lanes that rest use it.

After Townsend, Bird & Barber (2019), "Practical lossless compression with latent variables using
bits back coding"; the vectorised layout is Giesen's (2014), "Interleaved entropy coders".
"""

import jax
import jax.numpy as jnp

from jaxslice.codec.division import quotient_of
from jaxslice.codec.message import LOWER_BOUND
from jaxslice.core.jax_types import Heads, LaneIntegers


def push(
    head: Heads, start: LaneIntegers, freq: LaneIntegers, precision: int
) -> tuple[Heads, jax.Array, jax.Array]:
    """Pushes one symbol on every lane.

    Args:
      head: uint64 [lane]. Needs `jax.enable_x64` around the call.
      start: int32 [lane], below 2**precision.
      freq: int32 [lane], at least 1, start + freq at most 2**precision.
      precision: bits.

    Returns:
      The new head, a uint32 [lane] of words, and a bool [lane] that says which of the words go on
      the tail.
    """
    start, freq = start.astype(jnp.uint64), freq.astype(jnp.uint64)
    full = head >= freq << (63 - precision)
    word = head.astype(jnp.uint32)
    head = jnp.where(full, head >> 32, head)
    quotient = quotient_of(head.astype(jnp.int64), freq.astype(jnp.int64)).astype(jnp.uint64)
    return (quotient << precision) + (head - quotient * freq) + start, word, full


def peek(head: Heads, precision: int) -> LaneIntegers:
    """The position, within [0, 2**precision), that says which symbol is on top of each lane."""
    return (head & ((1 << precision) - 1)).astype(jnp.int32)


def pop(
    head: Heads,
    start: LaneIntegers,
    freq: LaneIntegers,
    words: jax.Array,
    cursor: jax.Array,
    precision: int,
) -> tuple[Heads, jax.Array]:
    """Takes the symbol with interval (start, freq) off every lane.

    Args:
      head: uint64 [..., lane]: one message, or several side by side.
      start: int32 [..., lane].
      freq: int32 [..., lane].
      words: uint32 [word], the tails of all messages one after the other.
      cursor: int32 [...], where each message's next word is.
      precision: bits.

    Returns:
      The new head and cursor. A cursor beyond the tail's end says that the message was too short;
      the caller must check, since nothing can be raised from here.
    """
    head, empty = without(head, start, freq, precision)
    before, count = _count_before(empty)
    word = jnp.take(words, jnp.expand_dims(cursor, -1) + before, mode="clip")
    return refilled(head, empty, word), cursor + count


def without(
    head: Heads, start: LaneIntegers, freq: LaneIntegers, precision: int
) -> tuple[Heads, jax.Array]:
    """The first half of `pop`: the heads before they are filled up, and which must be."""
    position = peek(head, precision).astype(jnp.uint64)
    start, freq = start.astype(jnp.uint64), freq.astype(jnp.uint64)
    head = freq * (head >> precision) + position - start
    return head, head < LOWER_BOUND


def refilled(head: Heads, empty: jax.Array, word: jax.Array) -> Heads:
    """The second half of `pop`: `word`, uint32 [..., lane], fills up the heads that are empty."""
    return jnp.where(empty, (head << 32) | word.astype(jnp.uint64), head)


def _count_before(flags: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How many flags are set before each one along the last axis, and in all.

    32 flags are the bits of a word, in which those before a place are counted at once; the words'
    counts are few enough to be added directly.
    """
    *several, lanes = flags.shape
    padded = jnp.pad(flags, [(0, 0)] * len(several) + [(0, -lanes % 32)])
    grouped = padded.reshape(*several, -1, 32).astype(jnp.uint32)
    place = jnp.broadcast_to(jnp.arange(32, dtype=jnp.uint32), grouped.shape)
    bits = grouped << place
    word = bits.sum(axis=-1, dtype=jnp.uint32)
    counts = _bits_set(word)
    lower = jnp.tri(counts.shape[-1], k=-1, dtype=bool)
    across = jnp.broadcast_to(counts[..., None, :], (*several, *lower.shape))
    earlier = jnp.where(lower, across, 0).sum(axis=-1, dtype=jnp.int32)
    before = earlier[..., None] + _bits_set(word[..., None] & ((jnp.uint32(1) << place) - 1))
    before = before.reshape(padded.shape)[..., :lanes]
    return before, counts.sum(axis=-1, dtype=jnp.int32)


def _bits_set(words: jax.Array) -> jax.Array:
    return jax.lax.population_count(words).astype(jnp.int32)
