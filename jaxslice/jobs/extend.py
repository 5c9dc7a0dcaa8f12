"""Extending an archive along z, as a volume grows under the microscope."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxslice.archive.create import new_array, publish
from jaxslice.archive.keys import KIND
from jaxslice.archive.report import Report, report_of
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import BLOCKS_BYTES, Archive, open_scales
from jaxslice.codec import probes
from jaxslice.codec.engines.interface import AUTO, engine_named
from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.encode_all import Encoding, encode_all
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.job_file import begin_or_resume, fingerprint_of
from jaxslice.jobs.resources import prepare
from jaxslice.jobs.resume import checked_block, finished_blocks
from jaxslice.jobs.scales import CACHE_BYTES, POOLED_BY, SOURCE_SCALE
from jaxslice.storage.draft import Draft, open_draft
from jaxslice.volumes.archive_volume import voxels_of
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.pooled import pooled
from jaxslice.volumes.source import Source, open_source

_LINKS = 16
"""Objects that are taken over at once."""


def extend(
    archive: str,
    source: AnySource,
    *,
    verify: str = "all",
    missing: str = "error",
    workers: int | None = None,
    batch_blocks: int | None = None,
    engine: str = AUTO,
    resume: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Adds the slices to an archive that a volume has got since.

    The last layer of blocks is encoded anew if it was not full. All other blocks keep their bytes,
    and the archive its networks. Readers see the old archive until the new one is complete.

    Args:
      archive: to extend; of format version 4 and sealed.
      source: the volume, with all slices that the archive lacks; the others are not read.
      verify: as in `CompressOptions`.
      missing: "error", or "zero" to take missing chunks of the source as black.
      workers: as in `CompressOptions`.
      batch_blocks: as in `CompressOptions`.
      engine: as in `CompressOptions`.
      resume: as in `CompressOptions`.
      progress: called now and then with (part of the work, done, total), from any thread.

    Returns:
      The sizes in bytes, the seconds of each part, and `details["added_slices"]`.

    Raises:
      UsageError: the source does not continue the archive, or the archive cannot be extended.
      SourceDataError: voxels that cannot be read.

    >>> import jaxslice
    >>> import numpy as np
    >>> voxels = np.load("volume.npy")
    >>> options = jaxslice.CompressOptions(effort=0)
    >>> report = jaxslice.compress(voxels[:3], "growing.zarr", options)
    >>> jaxslice.extend("growing.zarr", voxels).details["added_slices"]
    1
    """
    watch, progress = Stopwatch(), progress or no_progress
    scales = open_scales(archive)
    sources = [_opened(source, scale, missing) for scale in scales if not _is_pooled(scale)]
    for scale, volume in zip(scales, sources, strict=False):
        _check_continues(scale, volume)
    probes.check_devices(scales[0].configuration.architecture, engine)
    with open_draft(archive, KIND, overwrite=True) as draft:
        job = {
            "extends": scales[0].root,
            "sources": [fingerprint_of(volume) for volume in sources],
        }
        resumed = begin_or_resume(draft, json.loads(json.dumps(job)), resume)
        draft.kept = True
        parts: list[_Part] = []
        for scale in scales:
            grown = _grown(scale, sources, parts)
            parts.append(_Part(draft, scale, *grown, resumed))
            parts[-1].extend(verify, engine, workers, batch_blocks, watch, progress)
        publish(draft, [part.made for part in parts], [part.leaves.layers() for part in parts])
    details = {
        "engine": engine_named(engine).name,
        "added_slices": parts[0].made.shape[0] - scales[0].shape[0],
        "encoded_blocks": sum(part.encoded for part in parts),
    }
    seconds = watch.seconds("compile", "read", "encode", "verify", "write")
    return report_of(open_scales(archive), seconds, details)


def _is_pooled(scale: Archive) -> bool:
    return POOLED_BY in scale.provenance


def _opened(source: AnySource, scale: Archive, missing: str) -> Source:
    return open_source(source, scale=scale.provenance.get(SOURCE_SCALE, 0), missing=missing)


def _check_continues(scale: Archive, source: Source) -> None:
    old, new = scale.box, source.box
    if scale.seal is None:
        raise UsageError(
            f"Got {scale.location!r}, which is not sealed, expected an archive of format version 4 "
            "that compress made."
        )
    across = old.start[1:] == new.start[1:] and old.stop[1:] == new.stop[1:]
    if not across or not new.start[0] <= old.stop[0] < new.stop[0]:
        raise UsageError(
            f"Got {source.description!r} with the voxels {new} (z,y,x), expected the same y and x "
            f"as {scale.location!r}, which is {old}, and slices that follow it."
        )
    if source.dtype != scale.dtype:
        raise UsageError(f"Got {source.dtype} voxels, expected {scale.dtype}.")


@dataclasses.dataclass(frozen=True)
class ContinuedReader:
    """Reads a volume that continues an archive; see `volumes.interface.Reader`.

    Attributes:
      old: the archive's voxels.
      new: a volume with all that follows along z.
    """

    old: Source
    new: Source

    def __call__(self, box: Box) -> np.ndarray:
        cut = min(max(self.old.box.stop[0], box.start[0]), box.stop[0])
        parts = []
        if box.start[0] < cut:
            parts.append(self.old.read(Box(box.start, (cut, *box.stop[1:]))))
        if cut < box.stop[0]:
            parts.append(self.new.read(Box((cut, *box.start[1:]), box.stop)))
        return np.concatenate(parts)


def _grown(scale: Archive, sources: Sequence[Source], parts: Sequence[_Part]) -> tuple[Source, int]:
    """A scale's voxels after the extension, and up to which z they are those of before."""
    if _is_pooled(scale):
        finer = parts[-1]
        coarser = pooled(voxels_of(finer.made, finer.source.description, CACHE_BYTES))
        assert coarser is not None, "it was pooled before"
        return coarser, finer.same_until // scale.provenance[POOLED_BY][0]
    old, new = voxels_of(scale, scale.location, CACHE_BYTES), sources[len(parts)]
    box = Box(old.box.start, new.box.stop)
    return dataclasses.replace(old, box=box, reader=ContinuedReader(old, new)), old.box.stop[0]


class _Part:
    """One scale of an archive, to be extended."""

    def __init__(
        self, draft: Draft, old: Archive, source: Source, same_until: int, resumed: bool
    ) -> None:
        """Takes what `_grown` says of the scale, and whether blocks may be there already."""
        assert old.seal is not None
        self.old, self.source, self.same_until, self._resumed = old, source, same_until, resumed
        provenance = dict(old.provenance)
        placement = dataclasses.replace(old.placement, offset_voxels=source.box.start)
        self.made = new_array(
            draft, old.scale, source.box, old.block_shape, old.configuration, placement,
            provenance, old.data_type, old.shard_shape,
        )  # fmt: skip
        self._kept_layers = (same_until - source.box.start[0]) // old.block_shape[0]
        layers = old.seal.layers[old.scale][: self._kept_layers]
        self.leaves, self.encoded = Leaves(self.made.grid_shape, layers), 0

    def extend(
        self,
        verify: str,
        engine: str,
        workers: int | None,
        batch_blocks: int | None,
        watch: Stopwatch,
        progress: Progress,
    ) -> None:
        """Takes over the blocks that stay, and encodes the others."""
        configuration = self.made.configuration
        with watch.measure("compile"):
            resources = prepare(
                self.made.block_shape, configuration.architecture, batch_blocks, workers,
                engine=engine, decoder=verify != "none",
            )  # fmt: skip
        with watch.measure("write"):
            self._adopt()
        found = finished_blocks(self.made) if self._resumed else {}
        changed = [index for index in self.made.blocks() if index[0] >= self._kept_layers]
        for index in changed:
            if index in found:
                self.leaves.add_all(found[index].leaves)
        missing = [index for index in changed if index not in found]
        encoding = Encoding(resources.batch_blocks, resources.workers, verify, engine)
        encoded = encode_all(
            self.source, self.made, missing, self.leaves, encoding, watch, progress, self.old
        )
        self.encoded = len(missing)
        stored = sum((found[index] for index in changed if index in found), encoded)
        self._record(stored)

    def _adopt(self) -> None:
        """Takes over the objects whose blocks all stay."""
        depth = self._kept_layers // self.made.blocks_per_shard[0]
        kept = [shard for shard, _ in self.old.shards() if shard[0] < depth]

        def take(shard: tuple[int, int, int]) -> None:
            self.made.folder.adopt(self.made.key_of(shard), self.old.folder, self.old.key_of(shard))

        with ThreadPoolExecutor(_LINKS, "jaxslice-adopt") as pool:
            for _ in pool.map(take, kept):
                pass

    def _record(self, stored: EncodeStats) -> None:
        """Brings the sizes in the provenance up to date."""
        replaced = EncodeStats()
        for index in self.old.blocks():
            if index[0] >= self._kept_layers:
                stats = checked_block(self.old, index)
                replaced += stats or EncodeStats()
        provenance: dict[str, Any] = self.made.provenance
        for field, added, gone in (
            (BLOCKS_BYTES, stored.payload_bytes, replaced.payload_bytes),
            ("own_networks", stored.block_networks, replaced.block_networks),
            ("own_networks_bytes", stored.block_networks_bytes, replaced.block_networks_bytes),
        ):
            if type(provenance.get(field)) is int:
                provenance[field] += added - gone
