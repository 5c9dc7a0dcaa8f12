"""Counts how many programs XLA compiles."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
"""JAX's name for one compilation, or one read from its compilation cache."""


@dataclasses.dataclass
class Count:
    """Programs compiled so far."""

    number: int = 0


@contextlib.contextmanager
def counted_compilations() -> Iterator[Count]:
    """Counts the programs compiled inside a `with` block, on all threads of the process."""
    count = Count()

    def listen(event: str, duration_secs: float, **_: str | int | float) -> None:
        del duration_secs
        count.number += event == _EVENT

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield count
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
