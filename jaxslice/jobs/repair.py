"""Repairing an archive block by block, from a second copy or from the volume that it holds.

Objects are replaced one by one, each as a whole. What is not damaged is not touched, so that a
repair can be stopped and begun again.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from typing import Any

from jaxslice.archive.keys import METADATA_KEY
from jaxslice.archive.seal import layer_of, leaf_of
from jaxslice.archive.shards import place_in_shard
from jaxslice.archive.store import Archive, open_scales
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.progress import Count, Progress, no_progress
from jaxslice.jobs.repair_origin import Copy, Origin, Volume
from jaxslice.jobs.scrub import DAMAGED, WHOLE, problem_of, scrub
from jaxslice.storage.folder import open_folder
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.source import open_source


@dataclasses.dataclass
class _Found:
    """What was found and done; indices with their scale."""

    repaired: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    unrepaired: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def repair(
    archive: str | os.PathLike[str],
    origin: AnySource,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Replaces the damaged and missing blocks of an archive.

    Of a copy, a block is taken if its identity, index and checksum are right. From a volume, it is
    coded anew with the archive's own network, and taken if the layer then is the one that was
    sealed: so the archive has the same root as before. Damaged metadata are taken from a copy that
    has a block in common with the archive.

    Args:
      archive: to repair; a local folder or a bucket.
      origin: another copy of it, or the volume that it holds; see `open_source`.
      dry_run: whether only to say what would be done.
      progress: called now and then with (part of the work, done, total).

    Returns:
      A JSON object: "archive", "from", "kind" (copy or volume), "dry_run", "root", "metadata"
      (whole or restored), "repaired" and "unrepaired" (objects with scale and block), and
      "outcome": whole or damaged; of a dry run, what it would be.

    Raises:
      UsageError: the origin does not fit, or the archive cannot be opened and there is no copy.
      FormatError: the metadata are damaged and there is no copy.
      OSError: the storage fails; begin again.

    >>> import jaxslice
    >>> jaxslice.repair("volume.zarr", "volume.npy", dry_run=True)["outcome"]
    'whole'
    """
    place = os.fspath(archive)
    copies = _copy_scales(origin)
    scales, restored = _opened(place, copies)
    taken = _origin(origin, copies, scales)
    found = _Found()
    count = Count("repair", sum(s.num_blocks for s in scales), progress or no_progress)
    for scale in scales:
        for row in range(-(-scale.grid_shape[0] // scale.blocks_per_shard[0])):
            accepted = _repaired_row(scale, row, taken, found, count)
            if not dry_run:
                _store(scale, accepted)
    if restored and not dry_run:
        assert copies is not None
        _restore_metadata(scales, copies)
    whole = not found.unrepaired
    if not dry_run:
        whole = scrub(place)["outcome"] == WHOLE
    return {
        "archive": place,
        "from": taken.name,
        "kind": "copy" if taken.is_copy else "volume",
        "dry_run": dry_run,
        "root": scales[0].root,
        "metadata": "restored" if restored else "whole",
        "repaired": found.repaired,
        "unrepaired": found.unrepaired,
        "outcome": WHOLE if whole else DAMAGED,
    }


def _copy_scales(origin: AnySource) -> list[Archive] | None:
    """The scales of the origin if it is an archive whose metadata are whole."""
    if not isinstance(origin, str | os.PathLike):
        return None
    try:
        return open_scales(origin)
    except (FormatError, UsageError):
        return None


def _opened(place: str, copies: list[Archive] | None) -> tuple[list[Archive], bool]:
    """The scales of the archive, and whether their metadata are those of the copy."""
    try:
        return open_scales(place), False
    except (FormatError, UsageError):
        if copies is None:
            raise
    folder = open_folder(place)
    scales = [dataclasses.replace(copy, location=place, folder=folder) for copy in copies]
    if not any(
        _payload(scale, index) == copy.read_payload(index)
        for scale, copy in zip(scales, copies, strict=True)
        for index in scale.blocks()
        if _payload(scale, index) is not None and _is_whole(copy, index)
    ):
        raise UsageError(
            f"Got {place!r}, whose metadata are damaged, and {copies[0].location!r}, which has no "
            "block in common with it, expected a copy of it."
        )
    return scales, True


def _payload(scale: Archive, index: Triple) -> bytes | None:
    """A block's bytes, damaged or not; None if there are none."""
    try:
        return scale.read_payload(index)
    except FormatError:
        return None


def _is_whole(scale: Archive, index: Triple) -> bool:
    data = _payload(scale, index)
    return data is not None and problem_of(scale, index, data) is None


def _origin(origin: AnySource, copies: list[Archive] | None, scales: Sequence[Archive]) -> Origin:
    """What blocks are taken from: an archive with the same identities is a copy."""
    if copies is not None and len(copies) == len(scales) and all(map(_alike, copies, scales)):
        return Copy(copies[0].location, copies)
    source = open_source(origin).covering(scales[0].box)
    if source.dtype != scales[0].dtype:
        raise UsageError(f"Got {source.dtype} voxels, expected {scales[0].dtype}.")
    return Volume(source.description, source, scales)


def _alike(copy: Archive, ours: Archive) -> bool:
    same_blocks = (copy.shape, copy.block_shape) == (ours.shape, ours.block_shape)
    return same_blocks and copy.configuration == ours.configuration


def _repaired_row(
    scale: Archive, row: int, origin: Origin, found: _Found, count: Count
) -> dict[Triple, bytes]:
    """The new payloads of a row of stored objects along z."""
    depth, accepted = scale.blocks_per_shard[0], {}
    for z in range(row * depth, min((row + 1) * depth, scale.grid_shape[0])):
        accepted |= _repaired_layer(scale, z, origin, found)
        count.add(scale.grid_shape[1] * scale.grid_shape[2])
    return accepted


def _repaired_layer(scale: Archive, z: int, origin: Origin, found: _Found) -> dict[Triple, bytes]:
    """The new payloads of a layer, by the indices of their blocks."""
    _, height, width = scale.grid_shape
    indices: list[Triple] = list(itertools.product([z], range(height), range(width)))
    leaves = {index: _leaf(scale, index) for index in indices}
    bad = [index for index in indices if leaves[index] is None]
    if not bad and _is_sealed_layer(scale, z, leaves):
        return {}
    new: dict[Triple, bytes] = {}
    failed: dict[Triple, str] = {}
    # If each block is whole in itself, any of them may be an older one.
    for index in bad or indices:
        ours = None if bad else scale.read_payload(index)
        data = origin.payload(scale, index, ours)
        if isinstance(data, str):
            failed[index] = data
        elif data != ours:
            new[index], leaves[index] = data, leaf_of(data)
    proven = _is_sealed_layer(scale, z, leaves)
    if not proven and not (origin.is_copy and bad):
        failed |= dict.fromkeys(new or indices, _UNPROVEN)
        new = {}
    found.repaired += [_where(scale, index) for index in new]
    found.unrepaired += [{**_where(scale, i), "message": m} for i, m in failed.items()]
    if not proven and not failed:
        found.unrepaired.append({"scale": scale.scale, "layer": z, "message": _UNPROVEN})
    return new


_UNPROVEN = (
    "The layer would not be the one that was sealed: another block of it is another one too, the "
    "volume is another, or the block had a network of its own, which coding anew does not give."
)


def _leaf(scale: Archive, index: Triple) -> bytes | None:
    """The leaf of a block that is whole in itself; None of others."""
    data = _payload(scale, index)
    if data is None or problem_of(scale, index, data) is not None:
        return None
    return leaf_of(data)


def _is_sealed_layer(scale: Archive, z: int, leaves: dict[Triple, bytes | None]) -> bool:
    """Whether the layer is the one that was sealed; true where nothing is sealed."""
    whole = [leaf for _, leaf in sorted(leaves.items()) if leaf is not None]
    if len(whole) < len(leaves):
        return False
    return scale.seal is None or layer_of(whole) == scale.seal.layers[scale.scale][z]


def _where(scale: Archive, index: Triple) -> dict[str, Any]:
    return {"scale": scale.scale, "block": list(index)}


def _store(scale: Archive, accepted: dict[Triple, bytes]) -> None:
    """Writes new payloads; each object is replaced as a whole, and read back."""
    if scale.shard_shape is None:
        for index, data in accepted.items():
            scale.write_payload(index, data)
            scale.check_stored(index, data)
        return
    shards = {place_in_shard(index, scale.blocks_per_shard)[0] for index in accepted}
    for shard in sorted(shards):
        payloads = {}
        for index in scale.blocks_of(shard):
            # What is damaged and cannot be repaired is kept as it is.
            data = accepted.get(index) or _payload(scale, index)
            if data is not None:
                payloads[index] = data
        scale.write_shard(shard, payloads)
        for index, data in payloads.items():
            scale.check_stored(index, data)


def _restore_metadata(scales: Sequence[Archive], copies: Sequence[Archive]) -> None:
    """Writes the copy's metadata, the group's last."""
    for key in [*(f"{copy.path}/{METADATA_KEY}" for copy in copies), METADATA_KEY]:
        data = copies[0].folder.read(key)
        assert data is not None, "the copy was opened"
        scales[0].folder.write(key, data)
