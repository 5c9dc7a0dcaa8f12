"""`jaxslice status`: how far a job has come."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.terminal import duration_text, print_report


def _define_flags(values: flags.FlagValues) -> None:
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str) -> dict[str, Any]:
    from jaxslice.jobs.status import status

    return status(archive)


def _show(report: dict[str, Any]) -> None:
    shown = dict(report)
    for key in ("bytes_estimated", "locked", "part_done"):
        shown.pop(key, None)
    if "blocks_done" in report and report.get("num_blocks"):
        done, total = shown.pop("blocks_done"), shown.pop("num_blocks")
        shown["blocks"] = f"{done:,} of {total:,} ({100 * done / total:.1f} %)"
    if report.get("bytes_estimated"):
        shown["bytes_done"] = f"about {report['bytes_done']:,}"
    quiet = shown.pop("seconds_since_last_activity", None)
    if quiet is not None:
        shown["last_activity"] = f"{duration_text(quiet)} ago"
    writers = shown.pop("writers", [])
    if writers:
        shown["writers"] = {
            f"{one['host']}, process {one['pid']}": f"{one['part']}: {one['done']} of "
            f"{one['total']}, {duration_text(one['seconds_since_seen'])} ago"
            for one in writers
        }
    to_go_on = shown.pop("to_go_on", None)
    print_report(shown if to_go_on is None else shown | {"to_go_on": to_go_on})


COMMAND = Command(
    name="status",
    arguments=("ARCHIVE",),
    description="Says whether ARCHIVE is complete, or how far the job has come that writes it: "
    "running or dead, by whom, blocks of all scales and bytes so far, the last activity, and the "
    "command that goes on. Nothing is written. A job without a lock, as in a bucket, counts as "
    "dead three minutes after its last sign of life.",
    examples=(
        "jaxslice status volume.zarr",
        "jaxslice status s3://bucket/volume.zarr --json",
    ),
    define_flags=_define_flags,
    run=_run,
    show=_show,
)
