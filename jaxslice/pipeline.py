"""Whole volumes: compress, decompress, verify and describe, block by block."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np

from jaxslice import block as blocks
from jaxslice import probe, train, weights
from jaxslice.archive import (
    BLOCKS_BYTES,
    Archive,
    CodecConfiguration,
    check_creatable,
    create_archive,
    open_archive,
)
from jaxslice.box import Box, Triple
from jaxslice.config import CONTEXTS
from jaxslice.describe import report_of
from jaxslice.destination import create_destination
from jaxslice.errors import FormatError, UsageError
from jaxslice.options import CompressOptions, Report
from jaxslice.source import Source, open_source
from jaxslice.stages import Stopwatch, run_stages
from jaxslice.types import Device
from jaxslice.zarr_codec import model_of

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Called with the name of a part of the work, how much of it is done, and how much there is."""

TRAINING_BLOCKS = 8
TRAINING_STEPS = 4000
VERIFY_ONE_IN = 8


def compress(
    source: str,
    archive: str,
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> Report:
    """Compresses a volume into a new archive.

    Args:
      source: a precomputed volume or a `.npy` file; see `source.open_source`.
      archive: where to put the archive: a folder, or a gs:// or s3:// URL.
      options: how.
      progress: called now and then, from any thread.

    Raises:
      UsageError: a source, place or option that cannot be used.
      SourceDataError: voxels that cannot be read.
      FormatError: a block did not decode to the voxels that were encoded; nothing is kept.
    """
    watch = Stopwatch()
    tell = progress or (lambda part, done, total: None)
    volume = open_source(source, bbox=options.bbox, scale=options.scale, missing=options.missing)
    check_creatable(archive, options.overwrite)
    depth, height, width = (
        min(b, n) for b, n in zip(options.block_shape, volume.shape, strict=True)
    )
    block_shape = (depth, height, width)
    batch, workers = _batch_and_workers(options.batch_blocks, options.workers)
    with watch.measure("compile"):
        probe.check_device()

    with watch.measure("read"):
        sampled = _sample_blocks(volume, block_shape, options.seed)
    with watch.measure("train"):
        model = _train(sampled, options, tell)
    del sampled
    with watch.measure("compile"):
        blocks.compile_for(block_shape, model, batch, decoder=options.verify != "none")

    configuration = CodecConfiguration(model.architecture, weights.pack(model.network))
    provenance = {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}",
        "source": volume.description,
        "effort": options.effort,
        "context": options.context,
        "seed": options.seed,
        "network_fingerprint": weights.fingerprint(configuration.packed_network),
        BLOCKS_BYTES: 0,
    }
    with create_archive(
        archive, volume.box, block_shape, configuration, volume.placement, provenance,
        overwrite=options.overwrite,
    ) as made:  # fmt: skip
        _encode_all(volume, made, model, options, batch, workers, watch, tell)
    parts = ("compile", "read", "train", "encode", "verify", "write")
    return report_of(open_archive(archive), watch.seconds(*parts))


def decompress(
    archive: str,
    dest: str,
    *,
    bbox: Box | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    batch_blocks: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Writes an archive's voxels as a new precomputed volume or a `.npy` file.

    Args:
      archive: to read.
      dest: a new folder, `.npy` file, or gs:// or s3:// URL.
      bbox: the voxels wanted, in global coordinates; all if None.
      overwrite: whether a volume that is there may be replaced.
      workers: as in `CompressOptions`.
      batch_blocks: as in `CompressOptions`.
      progress: called now and then, from any thread.

    Raises:
      UsageError: no archive, a box outside it, or a destination that cannot be written.
      FormatError: a block is missing or damaged; nothing is kept.
    """
    watch = Stopwatch()
    opened = open_archive(archive)
    box = bbox or opened.box
    if not opened.box.contains(box):
        raise UsageError(f"Got the bbox {box}, expected one inside the volume, {opened.box}.")
    batch, workers = _batch_and_workers(batch_blocks, workers)
    with watch.measure("compile"):
        model = model_of(opened.configuration)
        blocks.compile_for(opened.block_shape, model, batch, encoder=False)
    chunk_shape = _chunk_shape(opened.block_shape)
    with create_destination(
        dest, box, opened.placement.voxel_size_nm, chunk_shape=chunk_shape, overwrite=overwrite
    ) as written:

        def write(index: Triple, voxels: np.ndarray) -> None:
            part = opened.box_of(index).intersect(box)
            local = part.shift(_negated(opened.box_of(index).start))
            with watch.measure("write"):
                written.write(part, np.ascontiguousarray(voxels[local.slices]))

        _decode_all(opened, model, opened.blocks(box), write, batch, workers, watch, progress)
    details = {"destination": dest, "box": str(box)}
    return report_of(opened, watch.seconds("compile", "read", "decode", "write"), details)


def verify(
    archive: str,
    *,
    source: str | None = None,
    scale: int | str = 0,
    missing: str = "error",
    workers: int | None = None,
    batch_blocks: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Decodes every block of an archive against its checksums, and against a source if given.

    Raises:
      UsageError: no archive, or a source that does not cover it.
      FormatError: a block is missing, damaged, or differs from the source.
    """
    watch = Stopwatch()
    opened = open_archive(archive)
    volume = None
    if source is not None:
        volume = open_source(source, bbox=opened.box, scale=scale, missing=missing)
    batch, workers = _batch_and_workers(batch_blocks, workers)
    with watch.measure("compile"):
        model = model_of(opened.configuration)
        blocks.compile_for(opened.block_shape, model, batch, encoder=False)

    def compare(index: Triple, voxels: np.ndarray) -> None:
        if volume is None:
            return
        box = opened.box_of(index)
        with watch.measure("read"):
            expected = volume.read(box)
        if not np.array_equal(voxels[Box.of_shape(box.shape).slices], expected):
            raise FormatError(
                f"Got block {index} of {archive!r}, which differs from {source!r} in {box}."
            )

    _decode_all(opened, model, opened.blocks(), compare, batch, workers, watch, progress)
    details = {"verified": True, "compared_with": source}
    return report_of(opened, watch.seconds("compile", "read", "decode"), details)


def _train(sampled: list[np.ndarray], options: CompressOptions, tell: Progress) -> blocks.Model:
    architecture = CONTEXTS[options.context]
    config = train.TrainingConfig(steps=options.training_steps or TRAINING_STEPS)
    network = train.train_network(
        sampled,
        architecture,
        config,
        options.seed,
        lambda step, bits: tell(f"train ({bits:.3f} bits per voxel)", step, config.steps),
    )
    return blocks.Model(architecture, network)


def _sample_blocks(volume: Source, block_shape: Triple, seed: int) -> list[np.ndarray]:
    """Blocks to train on, drawn from the grid without repeats."""
    grid = [-(-n // b) for n, b in zip(volume.shape, block_shape, strict=True)]
    count = int(np.prod(grid))
    drawn = np.random.default_rng(seed).choice(
        count, size=min(count, TRAINING_BLOCKS), replace=False, shuffle=False
    )
    sampled = []
    for flat in sorted(drawn):
        index = np.unravel_index(flat, grid)
        z, y, x = (
            int(o + i * b) for o, i, b in zip(volume.box.start, index, block_shape, strict=True)
        )
        sampled.append(volume.read(Box.of_shape(block_shape, (z, y, x)).intersect(volume.box)))
    return sampled


def _encode_all(
    volume: Source,
    made: Archive,
    model: blocks.Model,
    options: CompressOptions,
    batch: int,
    workers: int,
    watch: Stopwatch,
    tell: Progress,
) -> None:
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


def _decode_all(
    opened: Archive,
    model: blocks.Model,
    wanted: Iterator[Triple],
    write: Callable[[Triple, np.ndarray], None],
    batch: int,
    workers: int,
    watch: Stopwatch,
    progress: Progress | None,
) -> None:
    devices = jax.local_devices()
    indices = list(wanted)
    counter = _Counter("decode", len(indices), progress or (lambda part, done, total: None))

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

    run_stages(_batches(indices, batch), read, decode, write_batch, workers=workers)


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


def _batch_and_workers(batch: int | None, workers: int | None) -> tuple[int, int]:
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


def _chunk_shape(block_shape: Triple) -> Triple:
    """Chunks of at most 64 along each axis that divide the block, so that writes align."""
    z, y, x = (
        next(n for n in range(min(64, size), 0, -1) if size % n == 0) for size in block_shape
    )
    return (z, y, x) if min(z, y, x) >= 8 else block_shape


def _negated(start: Triple) -> Triple:
    z, y, x = start
    return (-z, -y, -x)


__all__: list[Any] = ["compress", "decompress", "verify"]
