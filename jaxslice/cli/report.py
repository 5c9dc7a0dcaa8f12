"""`jaxslice report`: one HTML page about an archive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.terminal import progress_display


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(
        "verify", False, "Decode every block, not only those that are shown.", values,
        module_name=shared_flags.CHECKS,
    )  # fmt: skip
    define_text(
        values, "source", None,
        "Volume to compare every voxel with. Default: none.", shared_flags.CHECKS,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "peers", True, "Measure other codecs on a crop.", values, module_name=shared_flags.CHECKS
    )
    shared_flags.define_overwrite(values, "the page")
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str, page: str | None = None) -> dict[str, Any]:
    from jaxslice.storage.location import public_name

    page = page or f"{public_name(archive).removesuffix('.zarr') or 'volume'}.html"
    places.check_local("PAGE", page)
    places.check_destination(page, values.overwrite)
    backend.start_backend()
    from jaxslice.report.measure import contents_of
    from jaxslice.report.page import page_of

    with progress_display() as progress:
        contents = contents_of(
            archive,
            with_peers=values.peers,
            check_all=values.verify,
            source=values.source,
            progress=progress,
        )
    Path(page).write_text(page_of(contents), encoding="utf-8")
    return {
        "page": os.path.abspath(page),
        "bytes": os.path.getsize(page),
        "bits_per_voxel": round(contents.info.bits_per_voxel, 5),
        "checks": {check.name: check.text for check in contents.checks},
    }


COMMAND = Command(
    name="report",
    arguments=("ARCHIVE", "[PAGE]"),
    description="Writes one HTML page about ARCHIVE, which needs no other file: cuts, prediction "
    "and confidence, where the bits are, rates of blocks and slices, other codecs on a crop, "
    "checks, and how it was made. Without PAGE it is named after the archive, in the current "
    "folder.",
    examples=(
        "jaxslice report volume.zarr",
        "jaxslice report volume.zarr page.html --source=volume.npy --nopeers",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda _values, _archive, page="": page,
)
