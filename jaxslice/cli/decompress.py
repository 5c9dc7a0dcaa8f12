"""`jaxslice decompress`: an archive into a new volume."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, metrics, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.shared_flags import OUTPUT
from jaxslice.cli.terminal import progress_display
from jaxslice.volumes.formats import FORMATS


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
    flags.DEFINE_enum(
        "dest_format", None, [known.key for known in FORMATS if known.create is not None],
        "Format to write. Default: what the name of DEST says, otherwise precomputed.",
        values, module_name=OUTPUT,
    )  # fmt: skip
    define_text(
        values, "dest_encoding", None,
        "How chunks are stored: raw, png or jxl in precomputed volumes, raw, gzip, zstd or blosc "
        "in Zarr and N5, raw, gzip or lzf in HDF5. Default: the usual way of the format.", OUTPUT,
    )  # fmt: skip
    flags.DEFINE_bool(
        "dest_sharded", False,
        "Pack the chunks of each block in one object (precomputed and Zarr 3): fewer objects.",
        values, module_name=OUTPUT,
    )  # fmt: skip
    shared_flags.define_overwrite(values, "the volume at DEST")
    shared_flags.define_executor(values)
    metrics.define_flags(values)
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str, dest: str) -> dict[str, Any]:
    import jaxslice

    places.check_destination(dest, values.overwrite)
    backend.start_backend(values.engine)
    with (
        progress_display() as shown,
        metrics.exported(values, "decompress", shown) as progress,
        shared_flags.executor_of(values) as executor,
    ):
        return jaxslice.decompress(
            archive,
            dest,
            dest_format=values.dest_format,
            encoding=values.dest_encoding,
            sharded=values.dest_sharded,
            bbox=values.bbox,
            scale=values.scale,
            overwrite=values.overwrite,
            engine=values.engine,
            workers=values.workers,
            batch_blocks=values.batch_blocks,
            executor=executor,
            progress=progress,
        ).to_json()


COMMAND = Command(
    name="decompress",
    arguments=("ARCHIVE", "DEST"),
    description="Writes the voxels of ARCHIVE to DEST. The name says the format: .npy, .tif, .h5, "
    ".zarr, .n5; any other is a neuroglancer precomputed volume (a folder, or a gs:// or s3:// "
    "URL). --dest_format says it otherwise. A volume larger than memory passes through.",
    examples=(
        "jaxslice decompress volume.zarr volume.npy",
        "jaxslice decompress volume.zarr part --bbox=0:64,0:512,0:512",
        "jaxslice decompress volume.zarr plain.zarr --dest_encoding=zstd",
        "jaxslice decompress volume.zarr slices --dest_format=stack",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda _values, _archive, dest: dest,
    after_interrupt=lambda _values, _archive, dest: places.after_interrupt(dest),
)
