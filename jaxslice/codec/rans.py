"""Range asymmetric numeral systems (Duda 2014), in the message format of craystack.

A message is a pair (head, tail): a uint64 state within [2**31, 2**63) for each lane, and a stack of
uint32 words shared by all lanes. `push` adds one symbol to each lane, given as an interval of
[0, 2**precision). `pop` removes it. They are pure functions and inverse to each other:

    push: state -> (state // freq << precision) + state % freq + start
    pop:  state -> freq * (state >> precision) + state % 2**precision - start

To stay in its range, a state moves 32 bits to the tail before a push, and takes 32 bits from it
after a pop. The words of one step are stored in the order of lanes. Idle lanes push and pop the
interval (0, 2**precision), which does not change the state.

After Townsend, Bird & Barber (2019), "Practical lossless compression with latent variables using
bits back coding"; the vectorised layout is Giesen's (2014), "Interleaved entropy coders".
"""

import jax
import jax.numpy as jnp

from jaxslice.codec.division import quotient_of
from jaxslice.codec.message import LOWER_BOUND
from jaxslice.core.jax_types import Heads, LaneIntegers


def push(
    head: Heads,
    start: LaneIntegers,
    freq: LaneIntegers,
    precision: int,
    low_bits: LaneIntegers | None = None,
) -> tuple[Heads, jax.Array, jax.Array]:
    """Pushes one symbol on every lane.

    Args:
      head: uint64 [lane]. Needs `jax.enable_x64` around the call.
      start: int32 [lane], below 2**precision.
      freq: int32 [lane], at least 1, start + freq at most 2**precision.
      precision: bits of the intervals.
      low_bits: int32 [lane], bits that `with_low` will add to each lane, if any: within 0 and
        31 - precision.

    Returns:
      (head, words, moved): the new head, uint32 [lane], and bool [lane], True for the lanes whose
      word must be moved to the tail.
    """
    start, freq = start.astype(jnp.uint64), freq.astype(jnp.uint64)
    room = jnp.uint64(63 - precision)
    if low_bits is not None:
        room = room - low_bits.astype(jnp.uint64)
    full = head >= freq << room
    word = head.astype(jnp.uint32)
    head = jnp.where(full, head >> 32, head)
    quotient = quotient_of(head.astype(jnp.int64), freq.astype(jnp.int64)).astype(jnp.uint64)
    return (quotient << precision) + (head - quotient * freq) + start, word, full


def with_low(head: Heads, low: LaneIntegers, low_bits: LaneIntegers) -> Heads:
    """Adds plain bits to each lane, after a `push` that left room for them.

    A state x before `push` is below freq * 2**(63 - precision - low_bits), so that it is below
    2**(63 - low_bits) after it. It is also at least 2**(31 - low_bits) after it: a state that was
    not moved had a quotient of at least 2**(31 - precision), and one that was moved had at least
    freq * 2**(31 - precision - low_bits) left.

    Args:
      head: uint64 [lane], from `push`.
      low: int32 [lane], within 0 and 2**low_bits - 1.
      low_bits: int32 [lane], as given to `push`.
    """
    return (head << low_bits.astype(jnp.uint64)) | low.astype(jnp.uint64)


def without_low(head: Heads, low_bits: LaneIntegers) -> tuple[Heads, LaneIntegers]:
    """The inverse of `with_low`: heads for `pop`, which fills them up, and the plain bits."""
    bits = low_bits.astype(jnp.uint64)
    mask = (jnp.uint64(1) << bits) - jnp.uint64(1)
    return head >> bits, (head & mask).astype(jnp.int32)


def peek(head: Heads, precision: int) -> LaneIntegers:
    """The position within [0, 2**precision) in the interval of each lane's last symbol."""
    return (head & ((1 << precision) - 1)).astype(jnp.int32)


def pop(
    head: Heads,
    start: LaneIntegers,
    freq: LaneIntegers,
    words: jax.Array,
    cursor: jax.Array,
    precision: int,
) -> tuple[Heads, jax.Array]:
    """Removes the symbol with interval (start, freq) from each lane.

    Args:
      head: uint64 [..., lane], of one message or a batch.
      start: int32 [..., lane].
      freq: int32 [..., lane].
      words: uint32 [word], the concatenated tails of all messages.
      cursor: int32 [...], index of each message's next word.
      precision: bits of the intervals.

    Returns:
      The new head and cursor. The caller must check the cursor: if the message is too short, it is
      beyond the end of the tail.
    """
    head, empty = without(head, start, freq, precision)
    before, count = _count_before(empty)
    word = jnp.take(words, jnp.expand_dims(cursor, -1) + before, mode="clip")
    return refilled(head, empty, word), cursor + count


def without(
    head: Heads, start: LaneIntegers, freq: LaneIntegers, precision: int
) -> tuple[Heads, jax.Array]:
    """The first half of `pop`: the heads before words are added, and bool: which need a word."""
    position = peek(head, precision).astype(jnp.uint64)
    start, freq = start.astype(jnp.uint64), freq.astype(jnp.uint64)
    head = freq * (head >> precision) + position - start
    return head, head < LOWER_BOUND


def refilled(head: Heads, empty: jax.Array, word: jax.Array) -> Heads:
    """The second half of `pop`: adds `word`, uint32 [..., lane], to the heads that need one."""
    return jnp.where(empty, (head << 32) | word.astype(jnp.uint64), head)


def _count_before(flags: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Number of flags set before each flag along the last axis, and in total.

    Flags are packed as bits of uint32 words, where `population_count` counts them. The counts of
    the few words are then added.
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
