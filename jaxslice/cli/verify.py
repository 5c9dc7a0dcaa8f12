"""`jaxslice verify`: does every block of an archive decode, and to the voxels of its source?"""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, metrics, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.terminal import progress_display
from jaxslice.core.errors import UsageError


def _define_flags(values: flags.FlagValues) -> None:
    define_text(
        values, "source", None,
        "Volume to compare every voxel with. Default: only the archive's checksums are compared.",
        shared_flags.CHECKS,
    )  # fmt: skip
    shared_flags.define_source(values)
    shared_flags.define_engine(values)
    shared_flags.define_workers(values)
    shared_flags.define_batch_blocks(values)
    shared_flags.define_executor(values)
    metrics.define_flags(values)
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str) -> dict[str, Any]:
    import jaxslice

    if values.source is None:
        for flag in values.flags_by_module_dict()[shared_flags.SOURCE]:
            if not flag.using_default_value:
                raise UsageError(
                    f"verify: Got --{flag.name} without --source, expected the volume it is for."
                )
    backend.start_backend(values.engine)
    reading, volume = shared_flags.source_options(values), None
    with (
        progress_display() as shown,
        metrics.exported(values, "verify", shown) as progress,
        shared_flags.executor_of(values) as executor,
    ):
        if values.source is not None:
            volume = jaxslice.open_source(values.source, options=reading)
        return jaxslice.verify(
            archive,
            source=volume,
            engine=values.engine,
            workers=values.workers,
            batch_blocks=values.batch_blocks,
            executor=executor,
            progress=progress,
        ).to_json()


COMMAND = Command(
    name="verify",
    arguments=("ARCHIVE",),
    description="Decodes every block of ARCHIVE and compares it with its checksums, and with the "
    "voxels of --source if that is given. Exit code 3 means that the archive is damaged or "
    "differs.",
    examples=(
        "jaxslice verify volume.zarr",
        "jaxslice verify volume.zarr --source=gs://bucket/em/volume --scale=1",
    ),
    define_flags=_define_flags,
    run=_run,
)
