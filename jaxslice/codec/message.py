"""Messages as words: the heads of all lanes, then the words on the tail. Needs no JAX."""

from __future__ import annotations

import numpy as np

from jaxslice.core.errors import FormatError
from jaxslice.core.types import HeadArray, Words

LOWER_BOUND = 1 << 31
"""Smallest state of a lane. Every lane starts from it, and ends at it once all is decoded."""


def flatten(head: HeadArray, tail: Words) -> Words:
    """A message as words: the heads' upper halves, their lower halves, the tail from its top.

    Args:
      head: uint64 [lane].
      tail: uint32 [word], the word that was pushed last comes first.

    Returns:
      uint32 [2 * lane + word].
    """
    halves = (head >> np.uint64(32)).astype(np.uint32), head.astype(np.uint32)
    return np.concatenate([*halves, tail])


def unflatten(words: Words, lanes: int) -> tuple[HeadArray, Words]:
    """The inverse of `flatten`.

    Args:
      words: uint32 [word].
      lanes: of the message.

    Returns:
      The heads, uint64 [lane] within [2**31, 2**63), and the tail.

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
      used: words taken from the tail.
      available: words of the tail.

    Raises:
      FormatError: words are left or missing, or a lane is not back at LOWER_BOUND.
    """
    if used != available or np.any(head != LOWER_BOUND):
        raise FormatError(
            f"Got a message that used {used} of {available} words or left a lane unfinished: "
            "damaged, or coded with another network."
        )
