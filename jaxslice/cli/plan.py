"""`jaxslice plan`: begins an archive for an array of jobs."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.compress import define_flags, options_of
from jaxslice.cli.terminal import print_report, progress_display, warnings_in_one_line
from jaxslice.jobs.effort import effort_named

_SHOWN = ("archive", "source", "box", "block_shape", "shard_shape", "num_blocks", "stored_objects",
          "model", "network_bytes", "multiply_adds_per_voxel", "unfinished", "seconds")  # fmt: skip


def _run(values: flags.FlagValues, source: str, archive: str) -> dict[str, Any]:
    from jaxslice.jobs.compress_shard import plan_archive
    from jaxslice.jobs.scales import open_sources

    reading, options = shared_flags.source_options(values), options_of(values)
    places.check_destination(archive, values.overwrite)
    backend.start_backend("xla" if effort_named(options.effort).tuning else options.engine)
    with progress_display() as progress, warnings_in_one_line():
        return plan_archive(open_sources(source, options, reading), archive, options, progress)


def _show(report: dict[str, Any]) -> None:
    print_report({key: report[key] for key in _SHOWN})


COMMAND = Command(
    name="plan",
    arguments=("SOURCE", "ARCHIVE"),
    description="Begins an archive of the volume at SOURCE: decides how to compress it, fits the "
    "base network and keeps both beside ARCHIVE. Jobs that run `jaxslice compress` with the same "
    "flags and --num_shards then only encode.",
    examples=(
        "jaxslice plan volume.npy volume.zarr",
        "jaxslice plan gs://bucket/em/volume s3://bucket/volume.zarr --shard_shape=512,1024,1024",
    ),
    define_flags=define_flags,
    run=_run,
    output=lambda _values, _source, archive: archive,
    after_interrupt=lambda _values, _source, archive: places.after_interrupted_job(archive),
    show=_show,
)
