"""Links that open Neuroglancer, and its own files where the package `neuroglancer` is installed."""

from __future__ import annotations

import importlib.util
import json
import urllib.parse
from pathlib import Path
from typing import Any

from jaxslice.serve.volume import ServedVolume

PUBLIC_VIEWER = "https://neuroglancer-demo.appspot.com/"
"""Where the viewer is loaded from if it is not on this machine."""

_PIXELS = 500
"""Rough width of a cross section in the window."""


def viewer_files() -> dict[str, Path]:
    """The files of the viewer by their name in URLs; empty if it is not on this machine.

    Nothing is imported: the package would start a server of its own.
    """
    found = importlib.util.find_spec("neuroglancer")
    if found is None or found.origin is None:
        return {}
    folder = Path(found.origin).parent / "static" / "client"
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".map")
    return {path.relative_to(folder).as_posix(): path for path in paths}


def viewer_state(volume: ServedVolume, source: str) -> dict[str, Any]:
    """What the viewer shall show: the middle of a volume, as a whole.

    Args:
      volume: to show.
      source: URL of its precomputed folder.
    """
    placement, shape = volume.placement(0), volume.scales[0].shape
    sizes = [size or 1.0 for size in placement.voxel_size_nm]
    middle = [o + n // 2 + 0.5 for o, n in zip(placement.offset_voxels, shape, strict=True)]
    # The scale of a cross section counts in the smallest voxel edge.
    widest = max(n * size for n, size in zip(shape, sizes, strict=True)) / min(sizes)
    return {
        "dimensions": {
            axis: [size * 1e-9, "m"] for axis, size in zip("xyz", sizes[::-1], strict=True)
        },
        "position": middle[::-1],
        "crossSectionScale": widest / _PIXELS,
        "projectionScale": 2 * widest,
        "layers": [{"type": "image", "source": f"precomputed://{source}", "name": volume.name}],
        "selectedLayer": {"layer": volume.name},
        "layout": "4panel",
    }


def viewer_link(volume: ServedVolume, base: str, viewer: str) -> str:
    """A link that opens a volume in Neuroglancer.

    Args:
      volume: to show.
      base: URL of the server.
      viewer: URL of Neuroglancer.
    """
    state = viewer_state(volume, f"{base}/{volume.name}/precomputed")
    text = json.dumps(state, separators=(",", ":"))
    return f"{viewer}#!{urllib.parse.quote(text, safe='{}:,/[]')}"
