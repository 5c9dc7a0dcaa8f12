"""All blocks of a volume through the coder: batches, devices, threads and checks."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax
import numpy as np

from jaxslice import block as blocks
from jaxslice.archive import BLOCKS_BYTES, Archive
from jaxslice.box import Box, Triple
from jaxslice.errors import FormatError
from jaxslice.options import CompressOptions
from jaxslice.source import Source
from jaxslice.stages import Progress, Stopwatch, run_stages
from jaxslice.types import Device

T = TypeVar("T")
VERIFY_ONE_IN = 8


def encode_all(
    volume: Source,
    made: Archive,
    model: blocks.Model,
    options: CompressOptions,
    batch: int,
    workers: int,
    watch: Stopwatch,
    tell: Progress,
) -> None:
    """Encodes all blocks of a volume into an archive, and decodes them again as options ask.

    Args:
      volume: to read from.
      made: the archive to write to.
      model: its network.
      options: of which `verify` is used.
      batch: blocks that run together.
      workers: threads that compute.
      watch: measures "read", "encode", "verify" and "write".
      tell: called after each batch.

    Raises:
      SourceDataError: voxels that cannot be read.
      FormatError: a block did not decode to the voxels that were encoded.
    """
    devices = jax.local_devices()
    counter = _Counter("compress", made.num_blocks, tell)

    def read(indices: tuple[Triple, ...]) -> list[np.ndarray]:
        with watch.measure("read"):
            return [_padded(volume.read(made.box_of(i)), made.block_shape) for i in indices]

    def encode(indices: tuple[Triple, ...], voxels: list[np.ndarray], worker: int) -> list[bytes]:
        device = devices[worker % len(devices)]
        with watch.measure("encode"):
            payloads = blocks.encode_blocks(_filled(voxels, batch), model, device)[: len(voxels)]
        if options.verify == "all" or (options.verify == "sample" and _is_sampled(indices[0])):
            with watch.measure("verify"):
                _check(indices, voxels, payloads, model, batch, device)
        return payloads

    def write(indices: tuple[Triple, ...], payloads: list[bytes]) -> None:
        with watch.measure("write"):
            for index, payload in zip(indices, payloads, strict=True):
                made.write_payload(index, payload)
        with counter.lock:
            made.provenance[BLOCKS_BYTES] += sum(len(payload) for payload in payloads)
        counter.add(len(indices))

    run_stages(_batches(made.blocks(), batch), read, encode, write, workers=workers)


def _check(
    indices: Iterable[Triple],
    voxels: list[np.ndarray],
    payloads: list[bytes],
    model: blocks.Model,
    batch: int,
    device: Device,
) -> None:
    """Decodes what was just encoded; a difference is a fault of the machine or of ours."""
    shape = voxels[0].shape
    decoded = blocks.decode_blocks(_filled(payloads, batch), shape, model, device)
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
                    _filled(payloads, batch), opened.block_shape, model, device
                )[: len(payloads)]
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


def batch_and_workers(batch: int | None, workers: int | None) -> tuple[int, int]:
    """Cores work on blocks of their own; an accelerator wants many blocks at once."""
    on_cpu = jax.default_backend() == "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if workers is None:
        workers = (cores or 1) if on_cpu else 2 * jax.local_device_count()
    return batch or (1 if on_cpu else 16), workers


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
