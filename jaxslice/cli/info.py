"""`jaxslice info`: what an archive is."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.terminal import print_report, print_table
from jaxslice.core.errors import FormatError


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(
        "blocks", False, "Also list the blocks with the bytes that each takes.", values,
        module_name=shared_flags.OUTPUT,
    )  # fmt: skip
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str) -> dict[str, Any]:
    import jaxslice

    try:
        return jaxslice.info(archive, blocks=values.blocks).to_json()
    except RecursionError:
        raise FormatError(
            f"Cannot read the metadata of {archive!r}: they are nested too deeply."
        ) from None


def _show(report: dict[str, Any]) -> None:
    blocks = report.pop("blocks", [])
    print_report(report)
    if blocks:
        rows = [
            [str(one["block"]), one["box"], f"{one['bytes']:,}", f"{one['bits_per_voxel']:.3f}"]
            for one in blocks
        ]
        print()
        print_table("Blocks", ["block", "voxels (z,y,x)", "bytes", "bits per voxel"], rows)


COMMAND = Command(
    name="info",
    arguments=("ARCHIVE",),
    description="Describes ARCHIVE from its metadata and the sizes of its files: shape, bits per "
    "voxel, network, and where it came from. Nothing is decoded.",
    examples=(
        "jaxslice info volume.zarr",
        "jaxslice info volume.zarr --blocks",
        "jaxslice info s3://bucket/volume.zarr --json",
    ),
    define_flags=_define_flags,
    run=_run,
    show=_show,
)
