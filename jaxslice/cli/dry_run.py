"""`jaxslice compress --dry_run`: what the job would take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from jaxslice.cli.flag_types import CommaSerializer, IntegersParser
from jaxslice.cli.shared_flags import RESOURCES
from jaxslice.cli.terminal import duration_text, print_report, print_table
from jaxslice.core.errors import UsageError

if TYPE_CHECKING:
    from jaxslice.jobs.options import CompressOptions
    from jaxslice.volumes.source import Source

MOST_WORKERS = 10**6
_ONLY_HERE = ("sample_blocks", "worker_counts", "price_per_core_hour", "price_per_gb_month")


def define_flags(values: flags.FlagValues) -> None:
    """The flags of a dry run."""
    flags.DEFINE_boolean(
        "dry_run", False,
        "Write nothing: fit the network, code a few blocks, and say the size, time, memory and "
        "cost of the whole.",
        values, module_name=RESOURCES,
    )  # fmt: skip
    flags.DEFINE_integer(
        "sample_blocks", 16, "With --dry_run: blocks to code, spread over the volume.", 1, None,
        values, module_name=RESOURCES,
    )  # fmt: skip
    flags.DEFINE(
        IntegersParser(1, MOST_WORKERS), "worker_counts", (1, 8, 64, 512),
        "With --dry_run: numbers of workers, which are cores, to say time, memory and cost for.",
        values, CommaSerializer(), module_name=RESOURCES,
    )  # fmt: skip
    for name, what in (
        ("price_per_core_hour", "of a worker's hour"),
        ("price_per_gb_month", "of storing 10^9 bytes for a month"),
    ):
        flags.DEFINE_float(
            name, None, f"With --dry_run: the price {what}, in any currency. Default: no costs.",
            0.0, None, values, module_name=RESOURCES,
        )  # fmt: skip


def check_flags(values: flags.FlagValues) -> None:
    """Refuses flags that say nothing without the other (UsageError)."""
    if values.dry_run and values.follow:
        raise UsageError("Got --dry_run with --follow, expected either: nothing is there yet.")
    given = [name for name in _ONLY_HERE if not values[name].using_default_value]
    if given and not values.dry_run:
        raise UsageError(f"Got --{given[0]} without --dry_run, expected both.")


def run(
    values: flags.FlagValues,
    sources: Sequence[Source],
    archive: str,
    options: CompressOptions,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Says what compressing the sources would take."""
    from jaxslice.jobs.costs import Foresight
    from jaxslice.jobs.forecast import forecast

    chosen = Foresight(
        values.sample_blocks, values.worker_counts, values.price_per_core_hour,
        values.price_per_gb_month,
    )  # fmt: skip
    return forecast(sources, archive, options, chosen, progress)


def show(report: dict[str, Any]) -> None:
    """Prints what was said, with what it rests on."""
    rest = dict(report)
    rows = [_row(one) for one in rest.pop("for_workers")]
    print_report(rest)
    headings = ["workers", "time", "memory", "read per second", "core hours"]
    if report["price_per_core_hour"] is not None:
        headings.append("cost")
    print()
    print_table("Expected", headings, rows)
    print(
        f"Rests on {report['sampled_blocks']} of {report['num_blocks']} blocks. Low and high hold "
        "the true size in 95 % of\nsuch samples, if blocks differ about as those do. Times are "
        "those of this machine, and its\nload now; writing is not counted. Nothing was written."
    )


def _row(one: dict[str, Any]) -> list[str]:
    cells = [
        f"{one['workers']:,}", duration_text(one["seconds"]), bytes_text(one["memory_bytes"]),
        bytes_text(one["read_bytes_per_second"]), f"{one['core_hours']:.3g}",
    ]  # fmt: skip
    return cells + ([f"{one['cost']:,.2f}"] if "cost" in one else [])


def bytes_text(count: float) -> str:
    """A number of bytes with the unit that suits it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} PB"
