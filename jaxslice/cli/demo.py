"""`jaxslice demo`: everything at work on a small volume."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.terminal import print_report, print_table, progress_display
from jaxslice.core.writable import check_writable


def _define_flags(values: flags.FlagValues) -> None:
    define_text(
        values, "source", None,
        "Volume to use, of which at most 64x512x512 voxels are taken. Default: a synthetic one.",
        shared_flags.SOURCE,
    )  # fmt: skip
    shared_flags.define_seed(values, "the synthetic volume and of training", shared_flags.SOURCE)
    define_text(
        values, "output", "demo-output", "Folder for the archive and the pictures.",
        shared_flags.OUTPUT,
    )  # fmt: skip
    shared_flags.define_json(values)


def _run(values: flags.FlagValues) -> dict[str, Any]:
    places.check_local("output", values.output)
    check_writable(f"{values.output}/archive.zarr", make_parents=True)
    backend.start_backend()
    from jaxslice.bench.demo import demo

    with progress_display() as progress:
        return demo(values.output, values.source, values.seed, progress)


def _show(report: dict[str, Any]) -> None:
    rows = [
        [
            row["name"],
            f"{row['bits_per_voxel']:.3f}",
            f"{row['encode_mb_per_s']:.1f}",
            f"{row['decode_mb_per_s']:.1f}",
            "yes" if row["lossless"] else "NO",
        ]
        for row in report["peers"]
    ]
    headings = ["codec", "bits per voxel", "encode MB/s", "decode MB/s", "lossless"]
    print_table("Bits per voxel, everything counted; speeds of one thread", headings, rows)
    print_report({key: value for key, value in report.items() if key != "peers"})


COMMAND = Command(
    name="demo",
    arguments=(),
    description="Compresses a small volume, verifies the archive, compares other codecs with it "
    "and draws two pictures. Takes a few minutes.",
    examples=("jaxslice demo", "jaxslice demo --source=volume.npy --output=pictures"),
    opens_places=False,
    define_flags=_define_flags,
    run=_run,
    output=lambda values: values.output,
    after_interrupt=lambda values: f"Files that were complete remain in {values.output!r}.",
    show=_show,
)
