"""The checks of a self-test, one after the other, and what came of each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from jaxslice.core.progress import Progress

PASSED, FAILED, SKIPPED = "passed", "FAILED", "skipped"


class CheckFailed(Exception):
    """A check found something else than it must."""


class CheckSkipped(Exception):
    """A check cannot run here, and need not."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
      group: that it belongs to, such as "probe".
      name: what is checked.
      run: does it, and returns a remark; raises an exception if it fails.
    """

    group: str
    name: str
    run: Callable[[], str]


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a check.

    Attributes:
      group: as of the check.
      name: as of the check.
      outcome: PASSED, FAILED or SKIPPED.
      remark: why, or what was found.
      seconds: that it took.
    """

    group: str
    name: str
    outcome: str
    remark: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return dataclasses.asdict(self)


def run_all(checks: list[Check], progress: Progress) -> list[Result]:
    """Runs all checks, also after one has failed."""
    results = []
    for number, check in enumerate(checks):
        progress("selftest", number, len(checks))
        start = time.perf_counter()
        try:
            outcome, remark = PASSED, check.run()
        except CheckSkipped as reason:
            outcome, remark = SKIPPED, str(reason)
        except Exception as error:
            # Whatever it is, it belongs into the table, beside what the other checks say.
            outcome, remark = FAILED, f"{type(error).__name__}: {error}"
        seconds = round(time.perf_counter() - start, 2)
        results.append(Result(check.group, check.name, outcome, remark, seconds))
    progress("selftest", len(checks), len(checks))
    return results
