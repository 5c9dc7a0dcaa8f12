"""`jaxslice selftest`: does this machine code exactly?"""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, shared_flags
from jaxslice.cli.command import EXIT_FAILED, Command
from jaxslice.cli.terminal import print_report, print_table, progress_display


def _define_flags(values: flags.FlagValues) -> None:
    shared_flags.define_json(values)


def _run(values: flags.FlagValues) -> dict[str, Any]:
    from jaxslice.selftest.selftest import selftest

    backend.start_backend()
    with progress_display() as progress:
        return selftest(progress)


def _show(report: dict[str, Any]) -> None:
    rows = [
        [f"{check['group']}: {check['name']}", check["outcome"], f"{check['seconds']:.1f}"]
        for check in report["checks"]
    ]
    print_table("Checks of this machine", ["check", "outcome", "seconds"], rows)
    for check in report["checks"]:
        if check["outcome"] != "passed":
            print_report({f"{check['outcome']}: {check['name']}": check["remark"]})
    print()
    counts = {key: value for key, value in report["counts"].items() if value}
    print_report({**report["machine"], **counts, "seconds": report["seconds"]})
    print_report({"passed": report["passed"]})


COMMAND = Command(
    name="selftest",
    arguments=(),
    description="Finds out in about a minute whether this machine codes exactly: every engine, "
    "instruction set and device is probed; archives of all format versions decode to their "
    "SHA-256; synthetic volumes come back; all engines make the same bytes; damage is noticed. "
    "Needs nothing but the package, and leaves nothing. Exit code 1 means that a check failed: do "
    "not compress on this machine.",
    examples=("jaxslice selftest", "jaxslice selftest --json"),
    define_flags=_define_flags,
    run=_run,
    show=_show,
    exit_code=lambda report: 0 if report["passed"] else EXIT_FAILED,
)
