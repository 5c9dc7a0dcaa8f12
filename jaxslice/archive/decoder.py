"""Blocks of an archive decoded on demand, by threads that all readers of a process share."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.model import model_of
from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.machine import num_cores

if TYPE_CHECKING:
    from jaxslice.codec.place import Place

T = TypeVar("T")

BATCH_ON_ACCELERATOR = 16
"""Blocks that are decoded together on a GPU or TPU."""


def shared_pool() -> ThreadPoolExecutor:
    """The threads that decode: one for each usable core, however many volumes are open.

    Raises:
      UsageError: the process was forked from one that had such threads, which JAX does not survive.
    """
    if _forked and not _decodes_without_jax():
        raise UsageError(
            "Got a read in a process that was forked after its parent had read, expected one that "
            "was spawned: multiprocessing.get_context('spawn'). Only the native engine survives a "
            "fork."
        )
    with _POOL_LOCK:
        return _pool()


def forked_after_reading() -> bool:
    """Whether this process was forked from one that had decoded; TensorStore does not work here."""
    return _forked


@functools.lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_cores(), "jaxslice-decode")


def _decodes_without_jax() -> bool:
    from jaxslice.codec.engines.interface import engine_named

    return engine_named().name == "native"


def blocks_together() -> int:
    """How many blocks one call decodes best: one where each core decodes blocks of its own."""
    from jaxslice.codec.engines.interface import engine_named

    return 1 if engine_named().runs_on_host() else BATCH_ON_ACCELERATOR


def decode_payloads(
    payloads: Sequence[bytes],
    block_shape: Triple,
    configuration: CodecConfiguration,
    places: Sequence[Place],
    *,
    placeless: bool = True,
) -> list[np.ndarray]:
    """Decodes payloads of one archive together; the first call compiles, others wait for it.

    Args:
      payloads: of blocks, at least one.
      block_shape: of the blocks.
      configuration: of the archive's codec.
      places: of each block; an index of None is not checked.
      placeless: whether payloads are taken that do not know their index.

    Returns:
      For each payload [z, y, x] of the block shape.

    Raises:
      FormatError: a payload or the network is damaged.
      DeviceError: the device does not compute as it must.
    """
    from jaxslice.codec import block, payload

    model = model_of(configuration)
    # A program is compiled for each number of blocks: powers of two keep them few.
    size = 1 << (len(payloads) - 1).bit_length()
    padding = size - len(payloads)

    def decode() -> list[np.ndarray]:
        return block.decode_blocks(
            [*payloads, *[payloads[-1]] * padding], block_shape, model,
            places=[*places, *[places[-1]] * padding], placeless=placeless,
            block_networks=configuration.block_networks,
            format_version=configuration.format_version,
        )  # fmt: skip

    program = (block_shape, size, configuration.architecture, configuration.block_networks)
    if not _FIRST_RUNS.is_done(program) and any(
        payload.unpack(data, block_shape, model.architecture.dtype).mode == payload.CODED
        for data in payloads
    ):
        return _FIRST_RUNS.run(program, decode)[: len(payloads)]
    return decode()[: len(payloads)]


class _FirstRuns:
    """Lets one thread run a program for the first time, which compiles it, while others wait."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, threading.Lock] = {}
        self._done: set[Hashable] = set()

    def is_done(self, program: Hashable) -> bool:
        return program in self._done

    def run(self, program: Hashable, function: Callable[[], T]) -> T:
        """Calls the function, after the first call for this program has returned."""
        with self._locks.setdefault(program, threading.Lock()):
            if program not in self._done:
                result = function()
                self._done.add(program)
                return result
        return function()


_FIRST_RUNS = _FirstRuns()


_POOL_LOCK = threading.Lock()
_forked = False


def _after_fork() -> None:
    """Makes anew, in a forked process, what its parent's threads used: they are not here."""
    global _forked, _POOL_LOCK, _FIRST_RUNS
    _forked = _forked or _pool.cache_info().currsize > 0
    _pool.cache_clear()
    _POOL_LOCK, _FIRST_RUNS = threading.Lock(), _FirstRuns()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
