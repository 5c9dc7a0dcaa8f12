"""New archives: arrays in a draft, which become an archive all at once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.group import group_json
from jaxslice.archive.identity import identity_of
from jaxslice.archive.keys import KIND, METADATA_KEY
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import Archive
from jaxslice.codec.limits import check_volume
from jaxslice.codec.place import IDENTITY_BYTES
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.storage.draft import Draft, open_draft, settle
from jaxslice.storage.location import public_name, unreachable_is_usage_error
from jaxslice.storage.replace import check_new_place

_PLACES = ("source", "model")
"""Fields of the provenance that are locations as the user wrote them."""


@contextlib.contextmanager
def create_archive(
    location: str | os.PathLike[str],
    box: Box,
    block_shape: Triple,
    configuration: CodecConfiguration,
    placement: Placement,
    provenance: dict[str, Any],
    *,
    data_type: str = "uint8",
    leaves: Leaves | None = None,
    overwrite: bool = False,
) -> Iterator[Archive]:
    """Creates an archive of one scale, which is there when the `with` block ends.

    On an exception nothing is kept. See `storage.draft` for where the objects are until then.

    Args:
      location: a local folder or a gs:// or s3:// URL.
      box: of the volume, in global coordinates.
      block_shape: of the blocks.
      configuration: of the codec. Without an identity the array gets one.
      placement: of the volume; its offset is that of `box`.
      provenance: JSON object to keep with the archive; read when the block ends, so that fields
        can be added until then. Of the locations in it only `public_name` is kept.
      data_type: of the voxels.
      leaves: which has the leaf of every block when the `with` block ends, to seal the archive;
        None for an archive that is not sealed.
      overwrite: whether to replace an archive that is there. Whatever else lies in its folder,
        such as the `labels` of an OME group, is kept.

    Raises:
      UsageError: something is there already, or the place cannot be written.
    """
    configuration = dataclasses.replace(configuration, sealed=leaves is not None)
    check_writable_shapes(box.shape, block_shape, configuration)
    with open_draft(os.fspath(location), KIND, overwrite) as draft:
        draft.restart()
        archive = new_array(
            draft, 0, box, block_shape, configuration, placement, provenance, data_type
        )
        yield archive
        publish(draft, [archive], [leaves.layers()] if leaves else None)


def check_creatable(location: str | os.PathLike[str], overwrite: bool) -> None:
    """Raises what creating an archive would at its start, before any work is spent.

    Raises:
      UsageError: something is there already, or is no archive that could be overwritten, or the
        place cannot be written.
    """
    place = os.fspath(location)
    with unreachable_is_usage_error(place):
        settle(place, KIND)
    check_new_place(place, KIND, overwrite)


def check_writable_shapes(
    shape: Triple, block_shape: Triple, configuration: CodecConfiguration
) -> None:
    """Refuses shapes that no reader could hold (UsageError)."""
    try:
        check_volume(shape)
        configuration.check_blocks(block_shape)
    except FormatError as error:
        raise UsageError(str(error)) from None


def new_array(
    draft: Draft,
    scale: int,
    box: Box,
    block_shape: Triple,
    configuration: CodecConfiguration,
    placement: Placement,
    provenance: dict[str, Any],
    data_type: str = "uint8",
    shard_shape: Triple | None = None,
) -> Archive:
    """An array to write blocks to; arguments as in `create_archive`.

    Args:
      draft: that the array is a part of.
      scale: its index, the finest being 0.
      box: of the volume at this scale.
      block_shape: of the blocks.
      configuration: of the codec.
      placement: of the volume at this scale.
      provenance: JSON object to keep.
      data_type: of the voxels.
      shard_shape: of the shards, if any.
    """
    path = str(scale)
    made = Archive(
        box.shape, block_shape, configuration, placement, provenance, data_type, None,
        draft.place, draft.folder, path=path, shard_shape=shard_shape,
    )  # fmt: skip
    if configuration.blocks_know_their_place and configuration.identity is None:
        configuration = dataclasses.replace(
            configuration, identity=identity_of(as_recorded(made), path)
        )
    if draft.in_place:
        # The new array lies beside the old one until that is deleted.
        path += f"-{(configuration.identity or bytes(IDENTITY_BYTES)).hex()}"
        path += "-1" if draft.is_taken(f"{path}/{METADATA_KEY}") else ""
    return dataclasses.replace(made, configuration=configuration, path=path)


def publish(
    draft: Draft, scales: Sequence[Archive], layers: Sequence[Sequence[bytes]] | None
) -> None:
    """Completes an archive: its metadata are written, and it stands at its place.

    Args:
      draft: that holds all blocks.
      scales: its arrays, the finest first.
      layers: of each array, to seal the archive with; None to leave it unsealed.

    Raises:
      UsageError: somebody else wrote to the place meanwhile.
      OSError: the storage fails.
    """
    recorded = [as_recorded(scale) for scale in scales]
    for scale in recorded:
        draft.folder.write(f"{scale.path}/{METADATA_KEY}", scale.array_json())
    name = public_name(draft.place).rpartition("/")[2] or "volume"
    draft.publish(group_json(name, recorded, layers))


def as_recorded(scale: Archive) -> Archive:
    """An array with what is kept of its provenance: public names of locations."""
    places = {key: scale.provenance.get(key) for key in _PLACES}
    public = {key: public_name(place) for key, place in places.items() if isinstance(place, str)}
    return dataclasses.replace(scale, provenance={**scale.provenance, **public})
