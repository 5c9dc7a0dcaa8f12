"""Decompressing an archive into a new volume."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from jaxslice.archive.report import Report, report_of
from jaxslice.archive.store import Archive, open_archive, open_scales
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.core.types import Volume
from jaxslice.jobs.decoding import decode_all, prepare_decoder
from jaxslice.jobs.task import Executor, Worker
from jaxslice.volumes.destination import Destination, create_scales, takes_scales
from jaxslice.volumes.interface import NewVolume
from jaxslice.volumes.output_chunks import chunks_of_block, sharded_chunks


@dataclasses.dataclass(frozen=True)
class WriteTo:
    """A sink of decoded blocks that writes those voxels that lie in a box; see `decoding.Sink`."""

    archive: Archive
    box: Box
    destination: Destination

    here = True
    """Several processes must not write to files of all formats."""

    def __call__(self, index: Triple, voxels: Volume, worker: Worker) -> None:
        """Writes the part of a block that lies in the box."""
        whole = self.archive.box_of(index)
        part = whole.intersect(self.box)
        local = part.relative_to(whole.start)
        with worker.watch.measure("write"):
            self.destination.write(part, np.ascontiguousarray(voxels[local.slices]))


def decompress(
    archive: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    dest_format: str | None = None,
    encoding: str | None = None,
    sharded: bool = False,
    bbox: Box | None = None,
    scale: int | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    batch_blocks: int | None = None,
    engine: str = AUTO,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Report:
    """Writes an archive's voxels as a new volume.

    Args:
      archive: to read.
      dest: a new folder or file, or gs:// or s3:// URL.
      dest_format: key of its format, see `volumes.formats`; if None, what its name says, else
        precomputed.
      encoding: how its chunks are stored, where the format has a choice.
      sharded: whether the chunks of a block are packed in one object; precomputed and Zarr 3.
      bbox: the voxels to write, in global coordinates of the scale; all if None.
      scale: index of the scale to write; if None, all, or the finest alone where a box is
        requested or the destination can hold only one.
      overwrite: whether a volume that is there may be replaced.
      workers: as in `CompressOptions`.
      batch_blocks: as in `CompressOptions`.
      engine: as in `CompressOptions`.
      executor: what runs the tasks; threads of this process if None.
      progress: called now and then with (part of the work, done, total), from any thread.

    Returns:
      The sizes in bytes, and the seconds of each part.

    Raises:
      UsageError: no archive, a box outside it, or a destination that cannot be written.
      FormatError: a block is missing or damaged; nothing is kept.

    >>> import jaxslice, numpy
    >>> box = jaxslice.Box.parse("0:2,4:8,0:6")
    >>> report = jaxslice.decompress("volume.zarr", "part.npy", bbox=box)
    >>> numpy.load("part.npy").shape
    (2, 4, 6)
    """
    watch, progress = Stopwatch(), progress or no_progress
    scales = _chosen(archive, scale, bbox, takes_scales(dest, dest_format))
    boxes = [bbox or opened.box for opened in scales]
    if not scales[0].box.contains(boxes[0]):
        raise UsageError(f"Got the bbox {bbox}, expected one inside the volume, {scales[0].box}.")
    new = [_new(*pair, encoding, sharded) for pair in zip(scales, boxes, strict=True)]
    decoders = [prepare_decoder(opened, batch_blocks, workers, watch, engine) for opened in scales]
    with create_scales(dest, new, overwrite=overwrite, dest_format=dest_format) as destinations:
        for opened, decoder, destination in zip(scales, decoders, destinations, strict=True):
            (batch, threads), box = decoder, destination.box
            sink = WriteTo(opened, box, destination)
            decode_all(opened, box, sink, executor or threads, batch, watch, progress, engine)
    details = {
        "engine": engine_named(engine).name,
        "destination": os.fspath(dest),
        "box": str(boxes[0]),
        "scales": len(scales),
    }
    return report_of(scales, watch.seconds("compile", "read", "decode", "write"), details)


def _new(archive: Archive, box: Box, encoding: str | None, sharded: bool) -> NewVolume:
    """What is created for a scale."""
    chunk_shape, shard_shape = chunks_of_block(archive.block_shape), None
    if sharded:
        chunk_shape, shard_shape = sharded_chunks(archive.block_shape, box.shape)
    size = archive.placement.voxel_size_nm
    return NewVolume(box, size, chunk_shape, encoding, shard_shape, archive.dtype)


def _chosen(
    archive: str | os.PathLike[str], scale: int | None, bbox: Box | None, several: bool
) -> list[Archive]:
    """The scales to write, opened."""
    if scale is None and several and bbox is None:
        return open_scales(archive)
    return [open_archive(archive, scale or 0)]
