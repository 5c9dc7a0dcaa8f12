"""`jaxslice decompress`: an archive into a new volume."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.terminal import progress_display


def _define_flags(values: flags.FlagValues) -> None:
    shared_flags.define_bbox(values)
    flags.DEFINE_integer(
        "scale", None,
        "Index of the scale to write. Default: all scales, or the finest where DEST can hold only "
        "one.", 0, None, values, module_name=shared_flags.SOURCE,
    )  # fmt: skip
    shared_flags.define_engine(values)
    shared_flags.define_workers(values)
    shared_flags.define_batch_blocks(values)
    shared_flags.define_overwrite(values, "the volume at DEST")
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str, dest: str) -> dict[str, Any]:
    import jaxslice

    places.check_destination(dest, values.overwrite)
    backend.start_backend(values.engine)
    with progress_display() as progress:
        return jaxslice.decompress(
            archive,
            dest,
            bbox=values.bbox,
            scale=values.scale,
            overwrite=values.overwrite,
            engine=values.engine,
            workers=values.workers,
            batch_blocks=values.batch_blocks,
            progress=progress,
        ).to_json()


COMMAND = Command(
    name="decompress",
    arguments=("ARCHIVE", "DEST"),
    description="Writes the voxels of ARCHIVE to DEST: a .npy file if its name ends so, else a "
    "neuroglancer precomputed volume (a folder, or a gs:// or s3:// URL).",
    examples=(
        "jaxslice decompress volume.zarr volume.npy",
        "jaxslice decompress volume.zarr part --bbox=0:64,0:512,0:512",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda _values, _archive, dest: dest,
    after_interrupt=lambda _values, _archive, dest: places.after_interrupt(dest),
)
