"""`jaxslice diff`: where do an archive and a volume differ, and how much?"""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, shared_flags
from jaxslice.cli.command import EXIT_DAMAGED, Command
from jaxslice.cli.terminal import print_report, print_table, progress_display

_MOST_ROWS = 50
_SHOWN = ("archive", "compared_with", "equal", "voxels_different", "largest_difference",
          "mean_difference", "blocks_different", "num_blocks")  # fmt: skip


def _define_flags(values: flags.FlagValues) -> None:
    shared_flags.define_bbox(values)
    shared_flags.define_source(values)
    shared_flags.define_engine(values)
    shared_flags.define_workers(values)
    shared_flags.define_batch_blocks(values)
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str, source: str) -> dict[str, Any]:
    import jaxslice

    reading = shared_flags.source_options(values)
    backend.start_backend(values.engine)
    with progress_display() as progress:
        return jaxslice.diff(
            archive,
            jaxslice.open_source(source, options=reading),
            bbox=values.bbox,
            engine=values.engine,
            workers=values.workers,
            batch_blocks=values.batch_blocks,
            progress=progress,
        ).to_json()


def _show(report: dict[str, Any]) -> None:
    print_report({key: report[key] for key in _SHOWN})
    differences = report["differences"]
    if not differences:
        return
    rows = [
        [str(tuple(one["block"])), one["box"], f"{one['voxels']:,}", str(one["largest"])]
        for one in differences[:_MOST_ROWS]
    ]
    print()
    print_table("Blocks that differ", ["block", "within", "voxels", "largest"], rows)
    if len(differences) > _MOST_ROWS:
        print(f"and {len(differences) - _MOST_ROWS} more; --json lists all.")


COMMAND = Command(
    name="diff",
    arguments=("ARCHIVE", "SOURCE"),
    description="Compares every voxel of ARCHIVE with SOURCE and lists the blocks that differ: in "
    "which box, in how many voxels, and by how many grey levels at most. Exit code 3 means that "
    "they differ.",
    examples=(
        "jaxslice diff volume.zarr volume.npy",
        "jaxslice diff volume.zarr gs://bucket/em/volume --bbox=0:64,0:512,0:512 --json",
    ),
    define_flags=_define_flags,
    run=_run,
    show=_show,
    exit_code=lambda report: 0 if report["equal"] else EXIT_DAMAGED,
)
