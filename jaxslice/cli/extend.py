"""`jaxslice extend`: the slices that a volume has got since, into its archive."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.shared_flags import CHECKS, DEFAULTS
from jaxslice.cli.terminal import progress_display
from jaxslice.jobs.options import VERIFY_CHOICES


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "missing", DEFAULTS.missing, ["error", "zero"],
        "A chunk that the source does not have is an error, or is read as zeros.",
        values, module_name=shared_flags.SOURCE,
    )  # fmt: skip
    flags.DEFINE_enum(
        "verify", DEFAULTS.verify, list(VERIFY_CHOICES),
        "Blocks that are decoded again before they are written: all, one in eight, or none.",
        values, module_name=CHECKS,
    )  # fmt: skip
    shared_flags.define_engine(values)
    shared_flags.define_workers(values)
    shared_flags.define_batch_blocks(values)
    shared_flags.define_resume(values)
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str, source: str) -> dict[str, Any]:
    import jaxslice

    backend.start_backend(values.engine)
    with progress_display() as progress:
        return jaxslice.extend(
            archive,
            source,
            verify=values.verify,
            missing=values.missing,
            engine=values.engine,
            workers=values.workers,
            batch_blocks=values.batch_blocks,
            resume=values.resume,
            progress=progress,
        ).to_json()


COMMAND = Command(
    name="extend",
    arguments=("ARCHIVE", "SOURCE"),
    description="Adds to ARCHIVE the slices that the volume at SOURCE has got since. SOURCE has "
    "the same y and x, and all slices that follow those of ARCHIVE. The last layer of blocks is "
    "encoded anew if it was not full; all others stay as they are, and so does the network. The "
    "old archive stays readable until the new one is complete.",
    examples=(
        "jaxslice extend volume.zarr volume.npy",
        "jaxslice extend s3://bucket/volume.zarr gs://bucket/em/volume",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda _values, archive, _source: archive,
    after_interrupt=lambda _values, archive, _source: places.after_interrupted_job(archive),
)
