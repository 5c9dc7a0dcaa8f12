"""`jaxslice seal`: completes an archive that an array of jobs has filled."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.terminal import progress_display


def _define_flags(values: flags.FlagValues) -> None:
    shared_flags.define_engine(values)
    shared_flags.define_workers(values)
    shared_flags.define_batch_blocks(values)
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str) -> dict[str, Any]:
    from jaxslice.jobs.complete import seal

    backend.start_backend(values.engine)
    with progress_display() as progress:
        return seal(
            archive,
            engine=values.engine,
            workers=values.workers,
            batch_blocks=values.batch_blocks,
            progress=progress,
        ).to_json()


COMMAND = Command(
    name="seal",
    arguments=("ARCHIVE",),
    description="Completes an archive whose blocks were encoded by the jobs of an array, and puts "
    "it in place, where none of them did. It makes the scales of --downsample as well. Where "
    "blocks are missing it says which. An archive that is complete stays as it is.",
    examples=("jaxslice seal volume.zarr",),
    define_flags=_define_flags,
    run=_run,
    output=lambda _values, archive: archive,
    after_interrupt=lambda _values, archive: places.after_interrupted_job(archive),
)
