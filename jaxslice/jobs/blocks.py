"""All blocks of a volume through the coder: batches, devices, threads and checks."""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

import jax
import numpy as np

from jaxslice.archive.store import BLOCKS_BYTES, Archive
from jaxslice.codec import block as blocks
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.progress import Progress, Stopwatch
from jaxslice.core.types import Device, Volume
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.stages import run_stages
from jaxslice.volumes.source import Source

T = TypeVar("T")
VERIFY_ONE_IN = 8


OwnTraining: TypeAlias = Callable[
    [Sequence[Volume], Sequence[int], Sequence[Device], threading.Event], list[bytes | None]
]
"""Makes networks for blocks: of (blocks, a seed for each, devices, an event that says to stop) the
difference of each one's network to the archive's, or None."""


@dataclasses.dataclass
class OwnNetworkTotals:
    """What blocks' own networks cost and saved in an archive.

    Attributes:
      blocks: that have one.
      size_bytes: of all of them.
      saved_bytes: by which the payloads of these blocks are shorter than without, networks counted.
    """

    blocks: int = 0
    size_bytes: int = 0
    saved_bytes: int = 0


def encode_all(
    volume: Source,
    made: Archive,
    model: blocks.Model,
    options: CompressOptions,
    batch: int,
    workers: int,
    watch: Stopwatch,
    tell: Progress,
    train_own: OwnTraining | None = None,
) -> OwnNetworkTotals:
    """Encodes all blocks of a volume into an archive, and decodes them again as options ask.

    Args:
      volume: to read from.
      made: the archive to write to.
      model: its network.
      options: of which `verify` and `seed` are used.
      batch: blocks that run together on a device.
      workers: threads that compute.
      watch: measures "read", "train_blocks", "encode", "verify" and "write".
      tell: called after each batch.
      train_own: makes networks of blocks' own. Each is kept if its block's payload is shorter with
        it, itself counted. As many batches as there are devices then are computed together.

    Raises:
      SourceDataError: voxels that cannot be read.
      FormatError: a block did not decode to the voxels that were encoded.
    """
    devices = jax.local_devices()
    together = len(devices) if train_own else 1
    counter = _Counter("compress", made.num_blocks, tell)
    totals, stop = OwnNetworkTotals(), threading.Event()

    def read(indices: tuple[Triple, ...]) -> list[np.ndarray]:
        with watch.measure("read"):
            return [_padded(volume.read(made.box_of(i)), made.block_shape) for i in indices]

    def encode(indices: tuple[Triple, ...], voxels: list[np.ndarray], worker: int) -> list[_Made]:
        if train_own is None:
            return encode_on(devices[worker % len(devices)], indices, voxels, None)
        seeds = [options.seed + int(np.ravel_multi_index(i, made.grid_shape)) for i in indices]
        with watch.measure("train_blocks"):
            own = train_own(voxels, seeds, devices, stop)
        if stop.is_set():
            raise RuntimeError("Stopped: what another stage raised is what `run_stages` raises.")
        parts = [slice(i, i + batch) for i in range(0, len(voxels), batch)]
        run = lambda part, device: encode_on(device, indices[part], voxels[part], own[part])
        with ThreadPoolExecutor(len(parts)) as pool:
            return list(itertools.chain(*pool.map(run, parts, devices)))

    def encode_on(
        device: Device,
        indices: tuple[Triple, ...],
        voxels: list[np.ndarray],
        own: list[bytes | None] | None,
    ) -> list[_Made]:
        filled = _filled(voxels, batch)
        none = None if own is None else [None] * batch
        with watch.measure("encode"):
            encoded = [_Made(p) for p in blocks.encode_blocks(filled, model, device, none)]
            if own is not None and any(data is not None for data in own):
                changed = blocks.encode_blocks(filled, model, device, _filled(own, batch))
                encoded = [
                    _better(before, after, data)
                    for before, after, data in zip(encoded, changed, own, strict=False)
                ]
        encoded = encoded[: len(voxels)]
        if options.verify == "all" or (options.verify == "sample" and _is_sampled(indices[0])):
            with watch.measure("verify"):
                payloads = [item.payload for item in encoded]
                _check(indices, voxels, payloads, model, batch, device, own is not None)
        return encoded

    def write(indices: tuple[Triple, ...], encoded: list[_Made]) -> None:
        with watch.measure("write"):
            for index, item in zip(indices, encoded, strict=True):
                made.write_payload(index, item.payload)
        with counter.lock:
            made.provenance[BLOCKS_BYTES] += sum(len(item.payload) for item in encoded)
            for item in encoded:
                totals.blocks += item.network_bytes > 0
                totals.size_bytes += item.network_bytes
                totals.saved_bytes += item.saved_bytes
        counter.add(len(indices))

    groups = _batches(made.blocks(), batch * together)
    # Threads beyond two would only hold blocks in memory while all devices are busy.
    workers = workers if together == 1 else min(workers, 2)
    run_stages(groups, read, encode, write, workers=workers, stop=stop)
    return totals


@dataclasses.dataclass(frozen=True)
class _Made:
    """A block's payload, the bytes of the network in it, and what that saved."""

    payload: bytes
    network_bytes: int = 0
    saved_bytes: int = 0


def _better(before: _Made, changed: bytes, difference: bytes | None) -> _Made:
    saved = len(before.payload) - len(changed)
    if difference is None or saved <= 0:
        return before
    return _Made(changed, len(difference), saved)


def _check(
    indices: Iterable[Triple],
    voxels: list[np.ndarray],
    payloads: list[bytes],
    model: blocks.Model,
    batch: int,
    device: Device,
    own_networks: bool,
) -> None:
    """Decodes what was just encoded; a difference is a fault of the machine or of ours."""
    shape = voxels[0].shape
    decoded = blocks.decode_blocks(
        _filled(payloads, batch), shape, model, device, own_networks=own_networks
    )
    for index, before, after in zip(indices, voxels, decoded, strict=False):
        if not np.array_equal(before, after):
            raise FormatError(f"Block {index} did not decode to the voxels that were encoded.")


def decode_all(
    opened: Archive,
    model: blocks.Model,
    box: Box | None,
    write: Callable[[Triple, np.ndarray], None],
    batch: int,
    workers: int,
    watch: Stopwatch,
    progress: Progress | None,
) -> None:
    """Decodes the blocks that hold voxels of a box.

    Args:
      opened: the archive.
      model: its network.
      box: in global coordinates; all blocks if None.
      write: takes a block's index and its voxels; may be called from several threads.
      batch: blocks that run together.
      workers: threads that compute.
      watch: measures "read" and "decode".
      progress: called now and then.

    Raises:
      FormatError: a block is missing or damaged; the message says which.
    """
    devices = jax.local_devices()
    count = math.prod(map(len, opened.block_ranges(box)))
    counter = _Counter("decode", count, progress or (lambda part, done, total: None))

    def read(batch_indices: tuple[Triple, ...]) -> list[bytes]:
        with watch.measure("read"):
            return [opened.read_payload(index) for index in batch_indices]

    def decode(
        batch_indices: tuple[Triple, ...], payloads: list[bytes], worker: int
    ) -> list[np.ndarray]:
        device = devices[worker % len(devices)]
        with watch.measure("decode"):
            try:
                return blocks.decode_blocks(
                    _filled(payloads, batch), opened.block_shape, model, device,
                    own_networks=opened.configuration.own_networks,
                )[: len(payloads)]  # fmt: skip
            except FormatError as error:
                where = ", ".join(str(index) for index in batch_indices)
                raise type(error)(f"In block {where} of {opened.location!r}: {error}") from error

    def write_batch(batch_indices: tuple[Triple, ...], voxels: list[np.ndarray]) -> None:
        for index, decoded in zip(batch_indices, voxels, strict=True):
            write(index, decoded)
        counter.add(len(batch_indices))

    run_stages(_batches(opened.blocks(box), batch), read, decode, write_batch, workers=workers)


class _Counter:
    """Counts finished blocks of several threads and tells."""

    def __init__(self, part: str, total: int, tell: Progress) -> None:
        self.lock = threading.Lock()
        self._part, self._total, self._tell, self._done = part, total, tell, 0

    def add(self, count: int) -> None:
        with self.lock:
            self._done += count
            done = self._done
        self._tell(self._part, done, self._total)


def _batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while taken := tuple(itertools.islice(iterator, size)):
        yield taken


def _filled(items: list[T], size: int) -> list[T]:
    """The last batch brought to the size that is compiled for."""
    return items + items[:1] * (size - len(items))


def _padded(voxels: np.ndarray, shape: Triple) -> np.ndarray:
    if voxels.shape == shape:
        return voxels
    after = [(0, b - n) for b, n in zip(shape, voxels.shape, strict=True)]
    return np.pad(voxels, after)


def _is_sampled(index: Triple) -> bool:
    return sum(index) % VERIFY_ONE_IN == 0
