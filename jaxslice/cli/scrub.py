"""`jaxslice scrub`: are archives that lie for years still whole?"""

from __future__ import annotations

import json
import re
from typing import Any

from absl import flags

from jaxslice.cli import shared_flags
from jaxslice.cli.command import EXIT_DAMAGED, EXIT_FAILED, Command
from jaxslice.cli.flag_types import define_text
from jaxslice.core.errors import UsageError


def _define_flags(values: flags.FlagValues) -> None:
    define_text(
        values, "state", None,
        "File that remembers how far earlier runs came, of any number of archives. Default: begin "
        "at the first block.", shared_flags.CHECKS,
    )  # fmt: skip
    define_text(
        values, "expect_root", None,
        "Root that the archive's seal must have, as `info` said, or its first digits. "
        "Default: that of the first run with this state.",
        shared_flags.CHECKS,
    )  # fmt: skip
    flags.DEFINE_float(
        "max_seconds", None, "Stop after so many seconds. Default: at the end of the archive.",
        0.001, None, values, module_name=shared_flags.RESOURCES,
    )  # fmt: skip
    flags.DEFINE_integer(
        "max_blocks", None, "Stop after so many blocks. Default: at the end of the archive.",
        1, None, values, module_name=shared_flags.RESOURCES,
    )  # fmt: skip
    flags.DEFINE_float(
        "max_mb_per_s", None, "Read no faster, in megabytes a second. Default: as fast as it goes.",
        0.001, None, values, module_name=shared_flags.RESOURCES,
    )  # fmt: skip
    define_text(
        values, "log", None, "File to append a line of JSON to for each archive. Default: none.",
        shared_flags.OUTPUT,
    )  # fmt: skip
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, *archives: str) -> dict[str, Any]:
    from jaxslice.jobs.scrub import ScrubLimits, scrub

    if values.expect_root is not None:
        if len(archives) > 1:
            raise UsageError("Got --expect_root with several archives, expected one.")
        if not re.fullmatch("[0-9a-f]{8,64}", values.expect_root):
            raise UsageError(
                f"Got --expect_root={values.expect_root!r}, expected 8 to 64 hexadecimal digits."
            )
    limits = ScrubLimits(values.max_seconds, values.max_blocks, values.max_mb_per_s)
    records = []
    for archive in archives:
        record = scrub(archive, state=values.state, expect_root=values.expect_root, limits=limits)
        records.append(record)
        if values.log is not None:
            with open(values.log, "a") as log:
                log.write(json.dumps(record) + "\n")
    return {"archives": records}


def _show(report: dict[str, Any]) -> None:
    """Says nothing of whole archives, so that cron sends mail only where something is wrong."""
    for record in report["archives"]:
        if record["problems"]:
            print(json.dumps(record))


def _exit_code(report: dict[str, Any]) -> int:
    outcomes = {record["outcome"] for record in report["archives"]}
    if "damaged" in outcomes:
        return EXIT_DAMAGED
    return EXIT_FAILED if "unreadable" in outcomes else 0


COMMAND = Command(
    name="scrub",
    arguments=("ARCHIVE...",),
    description="Reads archives that lie for years and compares every checksum, for cron: finds "
    "blocks that are damaged, lost, exchanged or older, changed metadata, and a root that is "
    "another than before. Writes nothing to them and does not decode. Prints one JSON record for "
    "each archive with a problem, and nothing if there are none. Exit code 3 means damage, 1 that "
    "something could not be read.",
    examples=(
        "jaxslice scrub volume.zarr",
        "jaxslice scrub /archives/*.zarr --state=scrub.json --max_seconds=3600 --max_mb_per_s=50",
        "jaxslice scrub s3://bucket/volume.zarr --expect_root=0fa5482d31a3315b --json",
    ),
    define_flags=_define_flags,
    run=_run,
    show=_show,
    exit_code=_exit_code,
    after_interrupt=lambda *_: "The archive is as it was.",
)
