"""Whole numbers as callers have them, NumPy's among them, made Python's own."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from jaxslice.core.errors import UsageError


def whole(value: Any, what: str) -> int:
    """A whole number as an `int`.

    Args:
      value: an `int` or an integer of NumPy.
      what: the number is, for the message.

    Raises:
      UsageError: it is something else.
    """
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise UsageError(f"Got {what} {value!r}, expected a whole number.")


def three_whole(values: Any, what: str) -> tuple[int, int, int]:
    """Three whole numbers, z, y and x, from any sequence.

    Raises:
      UsageError: they are others, or more or fewer.
    """
    found = tuple(values) if isinstance(values, Iterable) else ()
    if len(found) != 3:
        raise UsageError(f"Got {what} {values!r}, expected z, y and x.")
    z, y, x = (whole(value, what) for value in found)
    return (z, y, x)
