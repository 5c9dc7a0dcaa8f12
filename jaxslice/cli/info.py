"""`jaxslice info`: what an archive is."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import shared_flags
from jaxslice.cli.command import Command
from jaxslice.core.errors import FormatError


def _run(_values: flags.FlagValues, archive: str) -> dict[str, Any]:
    import jaxslice

    try:
        return jaxslice.info(archive).to_json()
    except RecursionError:
        raise FormatError(
            f"Cannot read the metadata of {archive!r}: they are nested too deeply."
        ) from None


COMMAND = Command(
    name="info",
    arguments=("ARCHIVE",),
    description="Describes ARCHIVE from its metadata and the sizes of its files: shape, bits per "
    "voxel, network, and where it came from. Nothing is decoded.",
    examples=("jaxslice info volume.zarr", "jaxslice info s3://bucket/volume.zarr --json"),
    define_flags=shared_flags.define_json,
    run=_run,
)
