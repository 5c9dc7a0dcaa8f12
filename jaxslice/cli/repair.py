"""`jaxslice repair`: damaged blocks from a second copy, or from the volume."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, shared_flags
from jaxslice.cli.command import EXIT_DAMAGED, Command
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.terminal import print_report, print_table, progress_display
from jaxslice.core.errors import UsageError

_MOST_ROWS = 50


def _define_flags(values: flags.FlagValues) -> None:
    define_text(
        values, "from", None,
        "Another copy of the archive, or the volume that it holds. It has no default.",
        shared_flags.SOURCE,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "dry_run", False, "Only say what would be done.", values, module_name=shared_flags.OUTPUT
    )
    shared_flags.define_source(values)
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str) -> dict[str, Any]:
    import jaxslice

    origin = values["from"].value
    if origin is None:
        raise UsageError("Got no --from, expected a copy of the archive or its volume.")
    source = shared_flags.source_options(values)
    named = any(
        not flag.using_default_value
        for flag in values.flags_by_module_dict()[shared_flags.SOURCE]
        if flag.name != "from"
    )
    backend.start_backend("auto")
    with progress_display() as progress:
        opened = jaxslice.open_source(origin, options=source) if named else origin
        return jaxslice.repair(archive, opened, dry_run=values.dry_run, progress=progress)


def _show(report: dict[str, Any]) -> None:
    said = "would be repaired" if report["dry_run"] else "repaired"
    for title, key in ((f"Blocks that {said}" if report["dry_run"] else "Blocks repaired",
                        "repaired"), ("Blocks that stay damaged", "unrepaired")):  # fmt: skip
        rows = [
            [str(tuple(one["block"])) if "block" in one else f"layer {one['layer']}",
             str(one["scale"]), one.get("message", "")]
            for one in report[key][:_MOST_ROWS]
        ]  # fmt: skip
        if rows:
            print_table(title, ["block", "scale", ""], rows)
        if len(report[key]) > _MOST_ROWS:
            print(f"and {len(report[key]) - _MOST_ROWS} more; --json lists all.")
    print_report({k: v for k, v in report.items() if k not in ("repaired", "unrepaired")})


COMMAND = Command(
    name="repair",
    arguments=("ARCHIVE",),
    description="Replaces the damaged and lost blocks of ARCHIVE by those of another copy, or "
    "codes them anew from the volume: those that then are what was sealed. Metadata are taken from "
    "a copy where they are damaged. Objects are replaced one by one, each as a whole; what is not "
    "damaged is not touched. Exit code 3 means that something stays damaged.",
    examples=(
        "jaxslice repair volume.zarr --from=/backup/volume.zarr --dry_run",
        "jaxslice repair s3://bucket/volume.zarr --from=/backup/volume.zarr",
        "jaxslice repair volume.zarr --from=volume.npy",
    ),
    define_flags=_define_flags,
    run=_run,
    show=_show,
    exit_code=lambda report: 0 if report["outcome"] == "whole" else EXIT_DAMAGED,
    output=lambda _values, archive: archive,
    after_interrupt=lambda *_: "Blocks that were repaired stay repaired; begin again.",
)
