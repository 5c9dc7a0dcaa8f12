"""Encoding: blocks of a source become payloads of an archive."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxslice.archive.model import model_of
from jaxslice.archive.seal import leaf_of
from jaxslice.archive.store import Archive
from jaxslice.codec import block as blocks
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.codec.network import Model
from jaxslice.codec.place import Place
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.types import Device, Volume
from jaxslice.jobs.block_networks import BlockNetworks
from jaxslice.jobs.task import Worker, batches, filled, run_task
from jaxslice.volumes.source import Source

VERIFIED_ONE_IN = 8
"""Of the blocks, where only a sample is decoded again."""


@dataclasses.dataclass(frozen=True)
class EncodeStats:
    """What encoding some blocks came to. Statistics add up.

    Attributes:
      blocks: that were encoded.
      payload_bytes: of all of them.
      block_networks: number of blocks with a block network.
      block_networks_bytes: of those networks.
      block_networks_saved_bytes: by which the payloads of these blocks are shorter than without,
        networks counted.
      found_blocks: number of blocks that an interrupted run had encoded.
      leaves: index and leaf of each block, for the seal.
    """

    blocks: int = 0
    payload_bytes: int = 0
    block_networks: int = 0
    block_networks_bytes: int = 0
    block_networks_saved_bytes: int = 0
    found_blocks: int = 0
    leaves: tuple[tuple[Triple, bytes], ...] = ()

    def __add__(self, other: EncodeStats) -> EncodeStats:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return EncodeStats(*(a + b for a, b in pairs))

    def to_json(self) -> dict[str, int]:
        """A JSON object, without the leaves."""
        fields = dataclasses.asdict(self)
        del fields["leaves"]
        return fields


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A block's payload, and the bytes that its block network costs and saves."""

    payload: bytes
    network_bytes: int = 0
    saved_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class EncodeTask:
    """Some blocks to encode. A frozen value that pickles; see `task.Task`.

    Attributes:
      source: of the voxels.
      archive: to write to; holds the base network.
      indices: of the blocks.
      batch_blocks: blocks that run together on a device.
      verify: "all" decodes every block again before it is written, "sample" one batch in eight.
      block_networks: where networks of single blocks come from, if any. Each is kept if it makes
        the payload of its block shorter, its own bytes counted.
      engine: what runs the march; see `engines.interface`.
      second_engine: another engine that also decodes every block before it is written, if any.
    """

    source: Source
    archive: Archive
    indices: tuple[Triple, ...]
    batch_blocks: int = 1
    verify: str = "all"
    block_networks: BlockNetworks | None = None
    engine: str = AUTO
    second_engine: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object: what is to be done, not the values that do it."""
        return {
            "source": self.source.description,
            "archive": self.archive.location,
            "indices": [list(index) for index in self.indices],
            "batch_blocks": self.batch_blocks,
            "verify": self.verify,
            "engine": self.engine,
            "second_engine": self.second_engine,
            "block_networks": self.block_networks is not None,
        }

    def read(self, worker: Worker) -> list[Volume]:
        """The voxels of each block, filled up with zeros beyond the volume.

        Raises:
          SourceDataError: voxels that cannot be read.
        """
        with worker.watch.measure("read"):
            return [self._read_block(index) for index in self.indices]

    def _read_block(self, index: Triple) -> Volume:
        voxels, shape = self.source.read(self.archive.box_of(index)), self.archive.block_shape
        if voxels.shape == shape:
            return voxels
        return np.pad(voxels, [(0, b - n) for b, n in zip(shape, voxels.shape, strict=True)])

    def compute(self, data: list[Volume], worker: Worker) -> list[Encoded]:
        """The payload of each block.

        Raises:
          FormatError: a block did not decode to the voxels that were encoded.
        """
        devices = engine_named(self.engine).devices()
        if self.block_networks is None:
            return self._encode(0, data, None, devices[worker.number % len(devices)], worker)
        with worker.watch.measure("train_blocks"):
            differences = self.block_networks.differences(
                self.archive, self.indices, data, worker.stop
            )
        if worker.stop.is_set():
            raise RuntimeError("Stopped, because another task failed.")
        starts = range(0, len(data), self.batch_blocks)

        def encode(start: int, device: Device) -> list[Encoded]:
            part = slice(start, start + self.batch_blocks)
            return self._encode(start, data[part], differences[part], device, worker)

        with ThreadPoolExecutor(len(starts)) as pool:
            return list(itertools.chain(*pool.map(encode, starts, itertools.cycle(devices))))

    def _encode(
        self,
        start: int,
        voxels: list[Volume],
        differences: list[bytes | None] | None,
        device: Device,
        worker: Worker,
    ) -> list[Encoded]:
        """Encodes one batch, whose first block is `indices[start]`, on one device."""
        model = model_of(self.archive.configuration, self.engine)
        batch = filled(voxels, self.batch_blocks)
        places = self._places(start, len(voxels))
        version = self.archive.configuration.format_version
        with worker.watch.measure("encode"):
            payloads = blocks.encode_blocks(
                batch, model, device, places=places, block_networks=differences is not None,
                engine=self.engine, format_version=version,
            )  # fmt: skip
            encoded = [Encoded(payload) for payload in payloads]
            if differences is not None and any(data is not None for data in differences):
                own = filled(differences, self.batch_blocks)
                changed = blocks.encode_blocks(
                    batch, model, device, places=places, differences=own, engine=self.engine,
                    format_version=version,
                )  # fmt: skip
                encoded = list(map(_shorter, encoded, changed, own))
        encoded = encoded[: len(voxels)]
        sampled = sum(self.indices[start]) % VERIFIED_ONE_IN == 0
        with worker.watch.measure("verify"):
            if self.verify == "all" or (self.verify == "sample" and sampled):
                self._check(start, voxels, encoded, model, device, self.engine)
            if self.second_engine is not None:
                devices = engine_named(self.second_engine).devices()
                model = model_of(self.archive.configuration, self.second_engine)
                other = devices[worker.number % len(devices)]
                self._check(start, voxels, encoded, model, other, self.second_engine)
        return encoded

    def _places(self, start: int, count: int) -> list[Place]:
        """The places of the blocks of a batch."""
        indices = self.indices[start : start + count]
        return filled([self.archive.place_of(index) for index in indices], self.batch_blocks)

    def _check(
        self,
        start: int,
        voxels: list[Volume],
        encoded: list[Encoded],
        model: Model,
        device: Device,
        engine: str,
    ) -> None:
        """Decodes what was just encoded: a difference is a fault of the machine or of ours, or the
        source handed out memory that somebody writes to.
        """
        payloads = filled([item.payload for item in encoded], self.batch_blocks)
        indices = self.indices[start : start + len(voxels)]
        try:
            decoded = blocks.decode_blocks(
                payloads, self.archive.block_shape, model, device,
                places=self._places(start, len(voxels)), engine=engine,
                block_networks=self.block_networks is not None,
                format_version=self.archive.configuration.format_version,
            )  # fmt: skip
        except FormatError as error:
            raise FormatError(f"{_not_decoded(indices, engine)} {error}") from error
        for index, before, after in zip(indices, voxels, decoded, strict=False):
            if not np.array_equal(before, after):
                raise FormatError(_not_decoded([index], engine))

    def write(self, results: list[Encoded], worker: Worker) -> EncodeStats:
        """Stores the payloads."""
        with worker.watch.measure("write"):
            for index, item in zip(self.indices, results, strict=True):
                self.archive.write_payload(index, item.payload)
                if self.verify == "all":
                    self.archive.check_stored(index, item.payload)
        return encoded_stats(self.indices, results)


def _not_decoded(indices: Sequence[Triple], engine: str) -> str:
    where = ", ".join(map(str, indices))
    return (
        f"Block {where} did not decode to the voxels that were encoded, by the engine "
        f"{engine_named(engine).name!r}. If nobody wrote to the source meanwhile, this machine is "
        "at fault, or jaxslice: `jaxslice selftest` tells."
    )


def encoded_stats(indices: Sequence[Triple], results: Sequence[Encoded]) -> EncodeStats:
    """What encoding blocks came to, from what `EncodeTask.compute` returns."""
    return EncodeStats(
        blocks=len(results),
        payload_bytes=sum(len(item.payload) for item in results),
        block_networks=sum(item.network_bytes > 0 for item in results),
        block_networks_bytes=sum(item.network_bytes for item in results),
        block_networks_saved_bytes=sum(item.saved_bytes for item in results),
        leaves=tuple(
            (index, leaf_of(item.payload)) for index, item in zip(indices, results, strict=True)
        ),
    )


def encode(task: EncodeTask) -> EncodeStats:
    """Reads, encodes, checks and stores the blocks of a task.

    Raises:
      SourceDataError: voxels that cannot be read.
      FormatError: a block did not decode to the voxels that were encoded.
    """
    return run_task(task)


def encode_tasks(
    source: Source,
    archive: Archive,
    batch_blocks: int = 1,
    verify: str = "all",
    block_networks: BlockNetworks | None = None,
    engine: str = AUTO,
    indices: Iterable[Triple] | None = None,
    second_engine: str | None = None,
) -> Iterator[EncodeTask]:
    """The tasks that together encode blocks of an archive; arguments as in `EncodeTask`.

    Where networks are trained for single blocks, a task holds a batch for every device. `indices`
    are those of the blocks, all if None.
    """
    size = batch_blocks * (block_networks.batches_at_once() if block_networks else 1)
    wanted = archive.blocks() if indices is None else indices
    groups: Iterable[Iterable[Triple]] = [wanted]
    if archive.shard_shape is not None:
        # A batch does not go beyond a shard.
        chosen = set(wanted)
        groups = ([i for i in blocks if i in chosen] for _, blocks in archive.shards())
    for group in groups:
        for some in batches(group, size):
            yield EncodeTask(
                source, archive, some, batch_blocks, verify, block_networks, engine, second_engine
            )


def _shorter(before: Encoded, changed: bytes, difference: bytes | None) -> Encoded:
    saved = len(before.payload) - len(changed)
    if difference is None or saved <= 0:
        return before
    return Encoded(changed, len(difference), saved)
