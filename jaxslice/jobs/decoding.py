"""Decoding: payloads of an archive become voxels, which a sink takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from jaxslice.archive.model import model_of
from jaxslice.archive.seal import Leaves, leaf_of
from jaxslice.archive.store import Archive
from jaxslice.codec import block as blocks
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.codec.place import Place
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.core.progress import Count, Progress, Stopwatch
from jaxslice.core.types import Volume
from jaxslice.jobs.executors.threads import ThreadExecutor
from jaxslice.jobs.resources import prepare
from jaxslice.jobs.task import Executor, Worker, batches, filled, run_task

Sink: TypeAlias = Callable[[Triple, Volume, Worker], None]
"""Takes a block's index, its voxels and the worker; may be called from several threads."""


@dataclasses.dataclass(frozen=True)
class DecodeStats:
    """What was decoded.

    Attributes:
      leaves: index and leaf of each block, to be compared with the seal.
    """

    leaves: tuple[tuple[Triple, bytes], ...]


class _Decoded(NamedTuple):
    voxels: Volume
    leaf: bytes


@dataclasses.dataclass(frozen=True)
class DecodeTask:
    """Some blocks to decode. A frozen value that pickles if its sink does; see `task.Task`.

    Attributes:
      archive: to read.
      indices: of the blocks.
      sink: takes the voxels of each block.
      batch_blocks: blocks that run together on a device.
      engine: what runs the march; see `engines.interface`.
    """

    archive: Archive
    indices: tuple[Triple, ...]
    sink: Sink | None
    batch_blocks: int = 1
    engine: str = AUTO

    @property
    def writes_here(self) -> bool:
        """Whether only the process that made the task has what its sink writes to."""
        return getattr(self.sink, "here", False)

    def without_sink(self) -> DecodeTask:
        """The task to be computed elsewhere and written here."""
        return dataclasses.replace(self, sink=None)

    def read(self, worker: Worker) -> list[bytes]:
        """The payload of each block.

        Raises:
          FormatError: a block is missing.
        """
        with worker.watch.measure("read"):
            return [self.archive.read_payload(index) for index in self.indices]

    def compute(self, data: list[bytes], worker: Worker) -> list[_Decoded]:
        """The voxels and the leaf of each block.

        Raises:
          FormatError: a block is damaged; the message says which.
        """
        devices = engine_named(self.engine).devices()
        configuration = self.archive.configuration
        with worker.watch.measure("decode"):
            try:
                voxels = blocks.decode_blocks(
                    filled(data, self.batch_blocks), self.archive.block_shape,
                    model_of(configuration, self.engine), devices[worker.number % len(devices)],
                    places=self._places(), placeless=not configuration.sealed,
                    block_networks=configuration.block_networks, engine=self.engine,
                    format_version=configuration.format_version,
                )[: len(data)]  # fmt: skip
            except FormatError as error:
                where = ", ".join(str(index) for index in self.indices)
                raise type(error)(
                    f"In block {where} of {self.archive.location!r}: {error}"
                ) from error
        return [_Decoded(*pair) for pair in zip(voxels, map(leaf_of, data), strict=True)]

    def _places(self) -> list[Place]:
        return filled([self.archive.place_of(index) for index in self.indices], self.batch_blocks)

    def write(self, results: list[_Decoded], worker: Worker) -> DecodeStats:
        """Hands the voxels to the sink."""
        assert self.sink is not None, "a task without a sink is not written"
        for index, item in zip(self.indices, results, strict=True):
            self.sink(index, item.voxels, worker)
        pairs = zip(self.indices, results, strict=True)
        return DecodeStats(tuple((index, item.leaf) for index, item in pairs))


def decode(task: DecodeTask) -> DecodeStats:
    """Reads and decodes the blocks of a task, and hands them to its sink.

    Raises:
      FormatError: a block is missing or damaged.
    """
    return run_task(task)


def decode_tasks(
    archive: Archive, box: Box | None, sink: Sink, batch_blocks: int = 1, engine: str = AUTO
) -> Iterator[DecodeTask]:
    """The tasks that together decode the blocks that hold voxels of a box.

    Args:
      archive: to read.
      box: in global coordinates; all blocks if None.
      sink: as in `DecodeTask`.
      batch_blocks: as in `DecodeTask`.
      engine: as in `DecodeTask`.
    """
    for indices in batches(archive.blocks(box), batch_blocks):
        yield DecodeTask(archive, indices, sink, batch_blocks, engine)


def decode_all(
    archive: Archive,
    box: Box | None,
    sink: Sink,
    executor: Executor,
    batch_blocks: int,
    watch: Stopwatch,
    progress: Progress,
    engine: str = AUTO,
) -> None:
    """Runs `decode_tasks` and reports progress. Layers that were decoded as a whole are compared
    with the seal, if there is one.

    Raises:
      FormatError: a block is missing or damaged; the message says which. Or a layer is not the one
        that was sealed.
    """
    total = math.prod(map(len, archive.block_ranges(box)))
    count = Count("decode", total, progress)
    leaves = Leaves(archive.grid_shape)

    def add(stats: DecodeStats) -> None:
        if archive.seal is not None:
            leaves.add_all(stats.leaves)
        count.add(len(stats.leaves))

    executor.run(decode_tasks(archive, box, sink, batch_blocks, engine), watch, add)
    _check_layers(archive, leaves)


def _check_layers(archive: Archive, leaves: Leaves) -> None:
    """Compares the layers that are complete with the seal."""
    if archive.seal is None:
        return
    sealed = archive.seal.layers[archive.scale]
    for z, layer in sorted(leaves.complete().items()):
        if layer != sealed[z]:
            raise ChecksumError(
                f"Got other blocks in layer {z} of {archive.location!r} than were sealed: left "
                "over from an earlier run, or written since."
            )


def prepare_decoder(
    archive: Archive,
    batch_blocks: int | None,
    workers: int | None,
    watch: Stopwatch,
    engine: str = AUTO,
) -> tuple[int, ThreadExecutor]:
    """Compiles the decoder of an archive.

    Args:
      archive: to decode.
      batch_blocks: blocks that run together on a device, if requested.
      workers: threads that compute, if requested.
      watch: measures "compile".
      engine: what runs the march.

    Returns:
      The batch size and the executor, as memory allows.
    """
    configuration, shape = archive.configuration, archive.block_shape
    with watch.measure("compile"):
        architecture = model_of(configuration, engine).architecture
        block_networks = configuration.block_networks
        found = prepare(
            shape, architecture, batch_blocks, workers,
            engine=engine, encoder=False, block_networks=block_networks,
        )  # fmt: skip
    return found.batch_blocks, ThreadExecutor(found.workers)
