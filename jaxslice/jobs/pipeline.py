"""Whole volumes: compress, decompress, verify and describe, block by block."""

from __future__ import annotations

import importlib.metadata
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxslice.archive.metadata import CodecConfiguration
from jaxslice.archive.model import model_of
from jaxslice.archive.report import Report, report_of
from jaxslice.archive.store import (
    BLOCKS_BYTES,
    Archive,
    check_creatable,
    create_archive,
    open_archive,
)
from jaxslice.codec import block as blocks
from jaxslice.codec import network_bytes, probe
from jaxslice.codec.network import Model
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.progress import Progress, Stopwatch
from jaxslice.jobs.base_network import own_training, prepare_base, starting_model
from jaxslice.jobs.block_shape import default_block_shape, fitted_block_shape
from jaxslice.jobs.blocks import decode_all, encode_all
from jaxslice.jobs.effort import EFFORTS
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.parallelism import what_fits
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.source import open_source

REPORTED = (
    "effort", "model", "adaptation_gain_bits_per_voxel", "tuning_gain_bits_per_voxel",
    "own_networks", "own_networks_bytes", "own_networks_saved_bytes",
)  # fmt: skip
"""What of an archive's provenance is in the report of making it."""


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
    effort = EFFORTS[options.effort]
    if options.block_shape:
        block_shape = fitted_block_shape(options.block_shape, volume.shape)
    else:
        block_shape = default_block_shape(volume.shape, effort.block_depth)
    start, architecture = starting_model(options, math.prod(volume.shape))
    own_networks = effort.own > 0
    batch, workers = what_fits(
        options.batch_blocks, options.workers, block_shape, architecture,
        own_networks=own_networks,
    )  # fmt: skip
    with watch.measure("compile"):
        probe.check_device()

    def compile_programs() -> None:
        with watch.measure("compile"):
            blocks.compile_for(
                block_shape, architecture, batch, decoder=options.verify != "none",
                own_networks=own_networks,
            )  # fmt: skip

    # The compiler keeps one core busy, reading and training the other.
    with ThreadPoolExecutor(1, "jaxslice-compile") as pool:
        compiled = pool.submit(compile_programs)
        base = prepare_base(volume, block_shape, start, architecture, options, watch, tell)
        compiled.result()
    architecture = base.model.architecture
    packed, network = network_bytes.pack_coded(base.model.network, architecture)
    model = Model(architecture, network)
    configuration = CodecConfiguration(architecture, packed, own_networks)
    provenance = {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}",
        "source": volume.description,
        "effort": options.effort,
        "context": options.context,
        "seed": options.seed,
        **base.provenance,
        "network_fingerprint": network_bytes.fingerprint(network_bytes.pack(network)),
        BLOCKS_BYTES: 0,
    }
    with create_archive(
        archive, volume.box, block_shape, configuration, volume.placement, provenance,
        overwrite=options.overwrite,
    ) as made:  # fmt: skip
        train_own = (
            own_training(model, block_shape, made.num_blocks, options) if own_networks else None
        )
        totals = encode_all(volume, made, model, options, batch, workers, watch, tell, train_own)
        made.provenance.update(
            own_networks=totals.blocks,
            own_networks_bytes=totals.size_bytes,
            own_networks_saved_bytes=totals.saved_bytes,
        )
    parts = ["compile", "read", "adapt", "train", "encode", "verify", "write"]
    if own_networks:
        parts.insert(4, "train_blocks")
    opened = open_archive(archive)
    details = {"network_bytes": len(opened.configuration.packed_network)}
    details |= {key: opened.provenance[key] for key in REPORTED}
    return report_of(opened, watch.seconds(*parts), details)


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
    model, batch, workers = _decoder_for(opened, batch_blocks, workers, watch)
    chunk_shape = _chunk_shape(opened.block_shape)
    with create_destination(
        dest, box, opened.placement.voxel_size_nm, chunk_shape=chunk_shape, overwrite=overwrite
    ) as written:

        def write(index: Triple, voxels: np.ndarray) -> None:
            part = opened.box_of(index).intersect(box)
            local = part.relative_to(opened.box_of(index).start)
            with watch.measure("write"):
                written.write(part, np.ascontiguousarray(voxels[local.slices]))

        decode_all(opened, model, box, write, batch, workers, watch, progress)
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
    model, batch, workers = _decoder_for(opened, batch_blocks, workers, watch)

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

    decode_all(opened, model, None, compare, batch, workers, watch, progress)
    details = {"verified": True, "compared_with": source}
    return report_of(opened, watch.seconds("compile", "read", "decode"), details)


def _decoder_for(
    archive: Archive, batch: int | None, workers: int | None, watch: Stopwatch
) -> tuple[Model, int, int]:
    """The archive's model with its program compiled; batch and workers as `what_fits` says."""
    configuration, shape = archive.configuration, archive.block_shape
    own_networks = configuration.own_networks
    with watch.measure("compile"):
        model = model_of(configuration)
        batch, workers = what_fits(
            batch, workers, shape, model.architecture, own_networks=own_networks
        )
        blocks.compile_for(
            shape, model.architecture, batch, encoder=False, own_networks=own_networks
        )
    return model, batch, workers


def _chunk_shape(block_shape: Triple) -> Triple:
    """Chunks of at most 64 along each axis that divide the block, so that writes align."""
    z, y, x = (
        next(n for n in range(min(64, size), 0, -1) if size % n == 0) for size in block_shape
    )
    return (z, y, x) if min(z, y, x) >= 8 else block_shape
