"""Conversion between messages (head, tail) and their words. Needs no JAX."""

from __future__ import annotations

import numpy as np

from jaxslice.core.errors import FormatError
from jaxslice.core.types import HeadArray, Words

LOWER_BOUND = 1 << 31
"""Smallest state of a lane: its state before encoding, and again after decoding."""


def flatten(head: HeadArray, tail: Words) -> Words:
    """Writes a message as words: upper halves of the heads, lower halves, then the tail.

    Args:
      head: uint64 [lane], within [2**31, 2**63).
      tail: uint32 [word], in decoding order: the word that was pushed last comes first.

    Returns:
      uint32 [2 * lane + word].
    """
    halves = (head >> np.uint64(32)).astype(np.uint32), head.astype(np.uint32)
    return np.concatenate([*halves, tail])


def unflatten(words: Words, lanes: int) -> tuple[HeadArray, Words]:
    """The inverse of `flatten`.

    Args:
      words: uint32 [word].
      lanes: number of lanes of the message.

    Returns:
      The head, uint64 [lane] within [2**31, 2**63), and the tail, uint32 [word].

    Raises:
      FormatError: there are fewer words than the heads need, or a head is out of its range.
    """
    if words.size < 2 * lanes:
        raise FormatError(
            f"Got a message of {words.size} words, expected at least {2 * lanes} for {lanes} lanes."
        )
    high, low = words[:lanes].astype(np.uint64), words[lanes : 2 * lanes].astype(np.uint64)
    head = (high << np.uint64(32)) | low
    if np.any(head < LOWER_BOUND) or np.any(head >> np.uint64(63)):
        raise FormatError("Got a message with a head out of range, expected 2**31 to 2**63.")
    return head, words[2 * lanes :]


def check_finished(head: HeadArray, used: int, available: int) -> None:
    """Checks the state of a coder after it has decoded a whole message.

    Args:
      head: uint64 [lane].
      used: number of words taken from the tail.
      available: number of words in the tail.

    Raises:
      FormatError: words are left or missing, or the state of a lane is not LOWER_BOUND.
    """
    if used != available or np.any(head != LOWER_BOUND):
        raise FormatError(
            f"Got a message that used {used} of {available} words or left a lane unfinished: "
            "damaged, or coded with another network."
        )
