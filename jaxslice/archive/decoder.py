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
    with _POOL_LOCK:
        pool, process = _pool_and_process()
    if process != os.getpid():
        raise UsageError(
            "Got a read in a process that was forked after its parent had read, expected one that "
            "was spawned: multiprocessing.get_context('spawn')."
        )
    return pool


_POOL_LOCK = threading.Lock()


@functools.lru_cache(maxsize=1)
def _pool_and_process() -> tuple[ThreadPoolExecutor, int]:
    return ThreadPoolExecutor(num_cores(), "jaxslice-decode"), os.getpid()


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
