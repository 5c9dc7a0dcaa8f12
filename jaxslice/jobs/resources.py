"""How many blocks run together on a device, and how many threads compute."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jaxslice.codec.block import compile_for
from jaxslice.codec.engines.interface import AUTO, Engine, engine_named
from jaxslice.codec.network import AnyArchitecture
from jaxslice.core.box import Triple
from jaxslice.core.machine import available_host_bytes, core_limits, memory_limits, num_cores
from jaxslice.jobs.executors.threads import TASKS_PER_WORKER
from jaxslice.volumes.chunk_cache import USUAL_BYTES

BATCH_ON_ACCELERATORS = 16
"""Blocks that run together on a GPU or TPU."""

PROCESS_BYTES = 768 << 20
"""What a process takes without any block: the interpreter, its libraries, compiling, fitting, and
the usual memory for chunks of the source."""

_LEAST_CHUNKS_BYTES = 32 << 20
"""For chunks of the source where memory is short."""

_HOST_BYTES_PER_VOXEL = 7
"""Of a batch at work, around its program: voxels 1, symbols 2, the same sheared 2, and 2 for an
index or the intermediate arrays of level tables."""


@dataclasses.dataclass(frozen=True)
class Resources:
    """What coding uses.

    Attributes:
      batch_blocks: blocks that run together on a device.
      workers: threads that compute.
      program_bytes: that one batch takes while its program runs.
      host_bytes: that one worker takes of the host's memory, beside the program.
      chunks_bytes: most for chunks of the source that are kept.
    """

    batch_blocks: int
    workers: int
    program_bytes: int
    host_bytes: int
    chunks_bytes: int = USUAL_BYTES

    @property
    def worker_bytes(self) -> int:
        """That one worker takes where programs run in the host's memory."""
        return self.program_bytes + self.host_bytes

    @property
    def peak_bytes(self) -> int:
        """Most resident memory where programs run in the host's memory. Training is not counted."""
        further = max(self.chunks_bytes - USUAL_BYTES, 0)
        return PROCESS_BYTES + self.workers * self.worker_bytes + further

    def keeping_chunks(self, needed_bytes: int) -> Resources:
        """The same with memory for the chunks of a source, as far as there is memory now.

        Args:
          needed_bytes: so that no chunk is fetched twice. More are kept where that is little.
        """
        spare = available_host_bytes() - self.peak_bytes
        room = USUAL_BYTES + (spare // 2 if spare > 0 else spare)
        chunks = max(min(max(needed_bytes, USUAL_BYTES), room), _LEAST_CHUNKS_BYTES)
        return dataclasses.replace(self, chunks_bytes=chunks)

    def in_words(self) -> str:
        """Workers and memory, and what limits them."""
        cores, memory = core_limits(), memory_limits()
        core_limit = min(cores, key=cores.__getitem__)
        memory_limit = min(memory, key=memory.__getitem__)
        return (
            f"{self.workers} workers, {cores[core_limit]} cores by {core_limit}; memory about "
            f"{self.peak_bytes / 1e9:.2f} GB of {memory[memory_limit] / 1e9:.2f} GB left by "
            f"{memory_limit}"
        )

    def fit(self, engine: Engine) -> bool:
        """Whether there is memory for them now, on the host and on every device."""
        if engine.runs_on_host():
            return self.peak_bytes <= available_host_bytes()
        devices = engine.devices()
        on_device = -(-self.workers // len(devices)) * self.program_bytes
        left = [available_device_bytes(device) for device in devices]
        host = PROCESS_BYTES + self.workers * self.host_bytes
        return host <= available_host_bytes() and all(n is None or on_device <= n for n in left)


def requested_or_usual(
    batch_blocks: int | None, workers: int | None, engine: Engine
) -> tuple[int, int]:
    """Batch size and workers as requested, or as usual for the engine.

    Cores work on blocks of their own; an accelerator runs many blocks at once, and a second worker
    prepares the next batch meanwhile.
    """
    on_host = engine.runs_on_host()
    if workers is None:
        workers = num_cores() if on_host else 2 * len(engine.devices())
    return batch_blocks or (1 if on_host else BATCH_ON_ACCELERATORS), workers


def prepare(
    block_shape: Triple,
    architecture: AnyArchitecture,
    batch_blocks: int | None = None,
    workers: int | None = None,
    *,
    engine: str = AUTO,
    encoder: bool = True,
    decoder: bool = True,
    block_networks: bool = False,
) -> Resources:
    """Compiles the programs for blocks of one shape, and chooses what memory has room for.

    A batch is halved before workers are taken away, since any batch keeps all workers busy. One
    worker with one block is always allowed, and so is whatever was requested.

    Args:
      block_shape: of the blocks.
      architecture: of their networks.
      batch_blocks: blocks that run together on one device, if requested.
      workers: threads that compute, if requested.
      engine: what runs the march.
      encoder: whether blocks will be encoded.
      decoder: whether blocks will be decoded.
      block_networks: whether blocks may have networks of their own.
    """
    runner = engine_named(engine)
    batch, threads = requested_or_usual(batch_blocks, workers, runner)
    requested = batch_blocks is not None or workers is not None
    while True:
        program_bytes = compile_for(
            block_shape, architecture, batch, encoder=encoder, decoder=decoder,
            block_networks=block_networks, engine=engine,
        )  # fmt: skip
        waiting = _HOST_BYTES_PER_VOXEL + TASKS_PER_WORKER - 1
        host_bytes = math.prod(block_shape) * batch * waiting
        found = Resources(batch, threads, program_bytes, host_bytes)
        if requested or found.fit(runner):
            return found
        if batch == 1:
            break
        batch = -(-batch // 2)
    while found.workers > 1 and not found.fit(runner):
        found = dataclasses.replace(found, workers=found.workers - 1)
    return found


def available_device_bytes(device: Any) -> int | None:
    """Memory of an accelerator that can still be taken; None where its runtime cannot say."""
    stats = device.memory_stats()
    if not stats or "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
