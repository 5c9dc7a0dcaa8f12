"""Speeds of coding on this machine: all workers busy, after compilation, and the peak beside it."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.archive.create import create_archive
from jaxslice.archive.model import model_of
from jaxslice.archive.store import Archive, open_archive
from jaxslice.bench.compilations import counted_compilations
from jaxslice.codec import block, body, payload
from jaxslice.codec.engines.interface import engine_named
from jaxslice.codec.engines.xla_options import compiler_options
from jaxslice.codec.network import Model
from jaxslice.core.box import Box, Triple
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.core.types import Volume
from jaxslice.jobs.compress import compress
from jaxslice.jobs.decoding import decode_all
from jaxslice.jobs.encoding import encode_tasks
from jaxslice.jobs.executors.threads import ThreadExecutor
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.resources import prepare, requested_or_usual
from jaxslice.jobs.task import Worker
from jaxslice.volumes.source import Source

Row = dict[str, Any]

BATCHES_PER_WORKER = 4
"""The least number that is coded, so that start and end weigh little."""

PASSES = 3
"""Times that a volume is coded; the quickest counts."""


def effort_rows(
    volume: Source,
    voxels: Volume,
    options: CompressOptions,
    batches: Sequence[int],
    scratch: Path,
    notify: Progress,
) -> Iterator[Row]:
    """Compresses a volume, and measures its coding at some batch sizes."""
    packed = compress(volume, str(scratch / "archive.zarr"), options, notify)
    opened = open_archive(packed.archive)
    workers = requested_or_usual(None, options.workers, engine_named(options.engine))[1]
    settings = [(batch, workers) for batch in batches]
    if jax.default_backend() == "cpu" and workers > 1:
        settings.insert(0, (batches[0], 1))
    architecture = opened.configuration.architecture
    for done, (batch, threads) in enumerate(settings):
        notify(f"bench effort {options.effort}, batch {batch}", done, len(settings))
        measured = _measure(opened, volume, voxels, batch, threads, scratch, options.engine)
        operations = 2 * architecture.multiply_adds_per_voxel * 1e6 / voxels.itemsize
        peak = product_rate(threads)
        yield {
            "codec": f"jaxslice effort {options.effort}",
            "batch": batch,
            "threads": threads,
            "bits_per_voxel": packed.bits_per_voxel,
            **measured,
            "train_seconds": packed.seconds["train"] + packed.seconds.get("train_blocks", 0.0),
            "multiply_adds_per_voxel": architecture.multiply_adds_per_voxel,
            "peak_gflops": peak / 1e9,
            "encode_share_of_peak": measured["encode_mb_per_s"] * operations / peak,
            "decode_share_of_peak": measured["decode_mb_per_s"] * operations / peak,
        }  # fmt: skip


def _measure(
    opened: Archive,
    volume: Source,
    voxels: Volume,
    batch: int,
    workers: int,
    scratch: Path,
    engine: str,
) -> Row:
    """Seconds and programs of coding with batches of one size."""
    shape, block_networks = opened.block_shape, opened.configuration.block_networks
    model = model_of(opened.configuration, engine)
    jax.clear_caches()
    with counted_compilations() as compiled:
        start = time.perf_counter()
        resources = prepare(
            shape, model.architecture, batch, workers,
            block_networks=block_networks, engine=engine,
        )  # fmt: skip
        compile_seconds = time.perf_counter() - start
    needed = BATCHES_PER_WORKER * batch * workers
    many, times = repeated(volume, voxels, shape, opened.num_blocks, needed)
    where = str(scratch / "again.zarr")
    with counted_compilations() as more:
        encode_seconds = _encode_seconds(opened, many, where, batch, workers, engine)
        decode_seconds, same = _decode_seconds(many, where, batch, workers, engine)
        edge_same = _edge_is_lossless(many, shape, model, batch, block_networks, engine)
    megabytes = voxels.nbytes * times / 1e6
    return {
        "encode_mb_per_s": megabytes / encode_seconds,
        "decode_mb_per_s": megabytes / decode_seconds,
        "lossless": same and edge_same,
        "compile_seconds": compile_seconds,
        "bound_megabytes": resources.peak_bytes / 1e6,
        "programs": compiled.number,
        "programs_for_edges": more.number,
    }


def _encode_seconds(
    opened: Archive, many: Source, where: str, batch: int, workers: int, engine: str
) -> float:
    """Encodes a volume into an archive with the networks of another, several times."""
    configuration = opened.configuration
    networks = StoredNetworks.of(opened) if configuration.block_networks else None
    best = math.inf
    for _ in range(PASSES):
        with create_archive(
            where, many.box, opened.block_shape, configuration, many.placement,
            {"blocks_bytes": 0}, overwrite=True, data_type=many.dtype.name,
        ) as created:  # fmt: skip
            start = time.perf_counter()
            tasks = encode_tasks(many, created, batch, "none", networks, engine)
            ThreadExecutor(workers).run(tasks, Stopwatch(), lambda stats: None)
            best = min(best, time.perf_counter() - start)
    return best


def _decode_seconds(
    many: Source, where: str, batch: int, workers: int, engine: str
) -> tuple[float, bool]:
    """Decodes an archive several times; also returns whether all voxels are those of the volume."""
    opened, wrong = open_archive(where), []
    executor = ThreadExecutor(workers)

    def compare(index: Triple, decoded: Volume, worker: Worker) -> None:
        box = opened.box_of(index)
        if not np.array_equal(decoded[Box.of_shape(box.shape).slices], many.read(box)):
            wrong.append(index)

    best = math.inf
    for _ in range(PASSES):
        start = time.perf_counter()
        decode_all(opened, None, compare, executor, batch, Stopwatch(), no_progress, engine)
        best = min(best, time.perf_counter() - start)
    return best, not wrong


def _edge_is_lossless(
    many: Source, shape: Triple, model: Model, batch: int, block_networks: bool, engine: str
) -> bool:
    """Codes a batch of blocks as at the far edges of a volume, with the compiled programs."""
    extent = tuple(min(a, b) for a, b in zip(shape, many.shape, strict=True))
    first = many.read(Box.of_shape((extent[0], extent[1], extent[2]), many.box.start))
    edge = edge_of(np.pad(first, [(0, b - n) for b, n in zip(shape, first.shape, strict=True)]))
    device = engine_named(engine).devices()[0]
    data = block.encode_blocks(
        [edge] * batch, model, device, block_networks=block_networks, engine=engine
    )
    back = block.decode_blocks(
        data, shape, model, device, block_networks=block_networks, engine=engine
    )
    return all(np.array_equal(edge, part) for part in back)


def repeated(
    volume: Source, voxels: Volume, block_shape: Triple, num_blocks: int, needed: int
) -> tuple[Source, int]:
    """A volume in memory, repeated along z until it has at least `needed` blocks.

    Returns:
      The repeated volume, and how many times it holds the given one.
    """
    times = -(-needed // num_blocks)
    depth = -(-len(voxels) // block_shape[0]) * block_shape[0]
    padded = np.pad(voxels, ((0, depth - len(voxels)), (0, 0), (0, 0)))

    def fetch(box: Box) -> np.ndarray:
        first = box.start[0] % depth
        part = padded[first : first + box.shape[0]]
        return part[:, box.start[1] : box.stop[1], box.start[2] : box.stop[2]]

    box = Box.of_shape((depth * times, voxels.shape[1], voxels.shape[2]))
    placement = dataclasses.replace(volume.placement, offset_voxels=(0, 0, 0))
    return Source(volume.description, box, placement, fetch, voxels.dtype), times


@dataclasses.dataclass(frozen=True)
class StoredNetworks:
    """In place of training: the networks that the blocks of an archive have, in their order."""

    stored: tuple[bytes | None, ...]

    @classmethod
    def of(cls, opened: Archive) -> StoredNetworks:
        """Those of an archive."""
        stored: list[bytes | None] = []
        for index in opened.blocks():
            item = payload.unpack(opened.read_payload(index), opened.block_shape)
            stored.append(body.split_coded_body(item).difference if item.block_network else None)
        return cls(tuple(stored))

    def batches_at_once(self) -> int:
        """One batch: nothing is trained."""
        return 1

    def differences(
        self,
        archive: Archive,
        indices: Sequence[Triple],
        voxels: Sequence[Volume],
        stop: threading.Event,
    ) -> list[bytes | None]:
        """See `encoding.BlockNetworks`; an archive of repeated voxels repeats the networks."""
        numbers = [int(np.ravel_multi_index(i, archive.grid_shape)) for i in indices]
        return [self.stored[number % len(self.stored)] for number in numbers]


def product_rate(threads: int, repeats: int = 4) -> float:
    """Operations per second of float32 matrix products of a favourable size.

    Args:
      threads: that multiply at once on a CPU, each on one core; accelerators all do.
      repeats: products in a row.
    """
    devices, on_cpu = jax.local_devices(), jax.default_backend() == "cpu"
    size = 1024 if on_cpu else 4096
    targets = [devices[0]] * threads if on_cpu else devices

    def products(left, right):
        step = lambda _, value: jnp.dot(left, value, precision=jax.lax.Precision.HIGHEST)
        return jax.lax.fori_loop(0, repeats, step, right)

    options = compiler_options(jax.default_backend())
    program = jax.jit(products, compiler_options=options)
    matrix = np.full((size, size), 1 / size, np.float32)
    inputs = [jax.device_put((matrix, matrix), target) for target in targets]
    run = lambda pair: jax.block_until_ready(program(*pair))
    best = math.inf
    with ThreadPoolExecutor(len(targets)) as pool:
        for _ in range(3):  # the first of them compiles
            start = time.perf_counter()
            list(pool.map(run, inputs))
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 * repeats * len(targets) / best


def edge_of(voxels: Volume) -> Volume:
    """A block as at a volume's far edges: black beyond two thirds of each axis."""
    kept = tuple(slice(max(1, 2 * n // 3)) for n in voxels.shape)
    edge = np.zeros_like(voxels)
    edge[kept] = voxels[kept]
    return edge
