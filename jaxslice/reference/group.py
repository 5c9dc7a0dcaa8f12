"""Section 1 of FORMAT.md: the group of an archive."""

import re
from pathlib import Path
from typing import Any

from jaxslice.core.errors import FormatError
from jaxslice.reference import limits
from jaxslice.reference.checks import field, integers, require
from jaxslice.reference.document import read_json


def read_group(folder: Path) -> Any:
    """The `zarr.json` of an archive's group; None if the folder is none."""
    path = folder / "zarr.json"
    group = read_json(path) if path.is_file() else {}
    attributes = group.get("attributes") if type(group) is dict else {}
    return group if type(attributes) is dict and "jaxslice" in attributes else None


def scale_paths(group: Any) -> list[str]:
    """The paths of the arrays, the finest first."""
    paths = [field(dataset, "path", str) for dataset in _datasets(group)]
    names = all(re.fullmatch(r"[\w-][\w.-]*", path, re.ASCII) for path in paths)
    names = names and len(set(paths)) == len(paths) > 0
    require(names, f"Got the paths {paths!r:.200}, expected different names of arrays.")
    return paths


def check_group(group: Any) -> None:
    """Refuses a group that section 1 does not allow."""
    same = field(group, "zarr_format", int) == 3 and field(group, "node_type", str) == "group"
    require(same, "Got metadata of no group.")
    axes = [field(axis, "name", str) for axis in field(_multiscale(group), "axes", list)]
    require(axes == ["z", "y", "x"], f"Got the axes {axes!r:.200}, expected z, y, x.")
    datasets = _datasets(group)
    for dataset in datasets:
        _check_voxel_size(field(dataset, "coordinateTransformations", list)[:1])
    finest = field(field(group, "attributes", dict), "jaxslice", dict)
    coarser = field(finest, "coarser_scales", list) if len(datasets) > 1 else []
    require(len(coarser) == len(datasets) - 1, "Got coarser_scales of other scales.")
    for scale in [finest, *coarser]:
        offset = field(scale, "offset_voxels", list)
        integers(offset, -limits.OFFSET, limits.OFFSET, [3], "the offset")


def _multiscale(group: Any) -> Any:
    ome = field(field(group, "attributes", dict), "ome", dict)
    multiscales = field(ome, "multiscales", list)
    require(multiscales, "Got no multiscales.")
    return multiscales[0]


def _datasets(group: Any) -> list:
    return field(_multiscale(group), "datasets", list)


def _check_voxel_size(transformations: list) -> None:
    require(transformations, "Got no transformations of a scale.")
    size = field(transformations[0], "scale", list)
    try:
        good = all(type(n) in (int, float) and 0 <= float(n) <= limits.VOXEL_NM for n in size)
    except OverflowError:
        good = False
    if not good or len(size) != 3:
        raise FormatError(f"Got the voxel size {size!r:.200}.")
