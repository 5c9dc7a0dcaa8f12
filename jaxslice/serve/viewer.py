"""Links that open Neuroglancer: its public site, or the package `neuroglancer` where installed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

from jaxslice.serve.volume import ServedVolume

PUBLIC_VIEWER = "https://neuroglancer-demo.appspot.com/"
"""The viewer that browsers load from the Internet. The voxels go to the browser alone."""

_PIXELS = 360
"""Rough height of a cross section in the window."""


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
    layer: dict[str, Any] = {
        "type": "image",
        "source": f"precomputed://{source}",
        "name": volume.name,
    }
    if volume.grey_range is not None:
        layer["shaderControls"] = {"normalized": {"range": list(volume.grey_range)}}
    return {
        "dimensions": {
            axis: [size * 1e-9, "m"] for axis, size in zip("xyz", sizes[::-1], strict=True)
        },
        "position": middle[::-1],
        "crossSectionScale": widest / _PIXELS,
        "projectionScale": 2 * widest,
        "layers": [layer],
        "selectedLayer": {"layer": volume.name},
        "layout": "4panel",
    }


def public_link(volume: ServedVolume, base: str) -> str:
    """A link that opens a volume in the public viewer.

    Args:
      volume: to show.
      base: URL of the server.
    """
    state = viewer_state(volume, f"{base}/{volume.name}/precomputed")
    text = json.dumps(state, separators=(",", ":"))
    return f"{PUBLIC_VIEWER}#!{urllib.parse.quote(text, safe='{}:,/[]')}"


@contextlib.contextmanager
def local_viewers(
    volumes: Iterable[ServedVolume], base: str, host: str
) -> Iterator[dict[str, str]]:
    """Runs Neuroglancer's own server while the `with` block lasts, if its package is installed.

    Args:
      volumes: to show.
      base: URL of the server of the volumes.
      host: address to listen at, on a free port.

    Yields:
      For each volume, by name, the URL of a viewer; nothing if the package is not installed.
    """
    if importlib.util.find_spec("neuroglancer") is None:
        yield {}
        return
    import neuroglancer

    neuroglancer.set_server_bind_address(host, 0)
    # Neuroglancer's server forgets a viewer that nobody else holds.
    found, viewers = {}, []
    try:
        for volume in volumes:
            viewer = neuroglancer.Viewer()
            viewers.append(viewer)
            viewer.set_state(viewer_state(volume, f"{base}/{volume.name}/precomputed"))
            found[volume.name] = viewer.get_viewer_url()
        yield found
    finally:
        neuroglancer.stop()
