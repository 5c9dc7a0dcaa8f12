"""Errors of the libraries that read the formats of others, made ours.

A damaged file leads a library to raise anything: its own errors, those of a parser, of a struct, or
of a list that is too short. What the system says of its files, and our own errors, stay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jaxslice.core.errors import FormatError, StorageError, UsageError
from jaxslice.storage.location import one_line, without_secrets

_KEPT = (
    UsageError, FormatError, StorageError, TimeoutError, ImportError, MemoryError, AssertionError,
)  # fmt: skip


@contextlib.contextmanager
def damage_is(kind: type[Exception], what: str) -> Iterator[None]:
    """Turns what a library raises into an error of ours.

    Args:
      kind: of the error.
      what: cannot be read, for the message.

    Raises:
      Exception: of that kind.
    """
    try:
        yield
    except _KEPT:
        raise
    except Exception as error:
        # An error of the system has a number; libraries raise the same class without one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = without_secrets(one_line(error)) or type(error).__name__
        raise kind(f"Cannot read {without_secrets(what)}: {said}.") from error
