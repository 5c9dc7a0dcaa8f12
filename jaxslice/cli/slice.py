"""`jaxslice slice`: one plane of an archive as a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.core.errors import UsageError

_PLANE = "Which plane"
_AXES = ("z", "y", "x")


def _define_flags(values: flags.FlagValues) -> None:
    for axis in _AXES:
        flags.DEFINE_integer(
            axis, None,
            f"Show the plane at this {axis}, in global coordinates. Default: the z in the middle.",
            flag_values=values, module_name=_PLANE,
        )  # fmt: skip
    flags.DEFINE_boolean(
        "square_pixels", False,
        "Repeat rows or columns, so that voxels that are long in one direction look so.", values,
        module_name=_PLANE,
    )  # fmt: skip
    shared_flags.define_overwrite(values, "the picture")
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, archive: str, picture: str | None = None) -> dict[str, Any]:
    import jaxslice
    from jaxslice.archive.slices import read_plane, square_pixels
    from jaxslice.core.png import png
    from jaxslice.storage.location import public_name

    chosen = {axis: getattr(values, axis) for axis in _AXES if getattr(values, axis) is not None}
    if len(chosen) > 1:
        raise UsageError(f"slice: Got --{' and --'.join(chosen)}, expected one of them.")
    volume = jaxslice.open(archive)
    box = volume.archive.box
    ((name, position),) = (chosen or {"z": (box.start[0] + box.stop[0]) // 2}).items()
    axis = _AXES.index(name)
    if picture is None:
        picture = f"{public_name(archive).removesuffix('.zarr') or 'volume'}_{name}{position}.png"
    places.check_local("PICTURE", picture)
    places.check_destination(picture, values.overwrite)
    backend.start_backend("auto")
    plane = read_plane(volume, axis, position)
    if values.square_pixels:
        plane = square_pixels(plane, axis, volume.archive.placement.voxel_size_nm)
    Path(picture).write_bytes(png(plane))
    return {
        "picture": os.path.abspath(picture),
        "plane": f"{name} = {position}",
        "pixels": list(plane.shape),
        "darkest": int(plane.min()),
        "brightest": int(plane.max()),
        "mean": round(float(plane.mean()), 2),
    }


COMMAND = Command(
    name="slice",
    arguments=("ARCHIVE", "[PICTURE]"),
    description="Writes one plane of ARCHIVE as a grey PNG, a pixel for each voxel. Only the "
    "blocks that the plane cuts are decoded. Without PICTURE the file is named after the archive "
    "and the plane, in the current folder.",
    examples=(
        "jaxslice slice volume.zarr",
        "jaxslice slice volume.zarr front.png --y=120 --square_pixels",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda _values, _archive, picture="": picture,
)
