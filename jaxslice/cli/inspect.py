"""`jaxslice inspect`: what a volume is, before it is compressed."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import shared_flags
from jaxslice.cli.command import Command


def _define_flags(values: flags.FlagValues) -> None:
    shared_flags.define_source(values)
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, source: str) -> dict[str, Any]:
    import jaxslice

    found = jaxslice.inspect(source, shared_flags.source_options(values))
    if not values.json:
        found["voxel_size_nm"] = found["voxel_size_nm"] or "unknown"
        found["scales"] = {s["key"]: _in_words(s) for s in found.get("scales", [])}
    return found


def _in_words(scale: dict[str, Any]) -> str:
    shape = " x ".join(f"{n:,}" for n in scale["shape"])
    size = scale.get("voxel_size_nm")
    nm = f", {' x '.join(f'{v:g}' for v in size)} nm" if size else ""
    return f"{shape} voxels{nm}, {scale['encoding']}"


COMMAND = Command(
    name="inspect",
    arguments=("SOURCE",),
    description="Prints what SOURCE is taken for: format, dtype, shape, voxel size, scales and how "
    "its chunks are stored. No voxel is read.",
    examples=(
        "jaxslice inspect volume.h5 --dataset=em/raw",
        "jaxslice inspect 'slices/*.tif' --json",
        "jaxslice inspect precomputed://gs://bucket/em/volume",
    ),
    define_flags=_define_flags,
    run=_run,
)
