"""How an open archive shows itself in a notebook: a table and a picture."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import numpy as np

from jaxslice.core.errors import FormatError
from jaxslice.core.png import png

if TYPE_CHECKING:
    from jaxslice.archive.lazy_volume import LazyVolume

MOST_PIXELS = 384
"""Of the picture, along either edge."""


def html_of(volume: LazyVolume) -> str:
    """A table of what a volume is, beside a picture of the block in its middle.

    Decodes that block alone, however large the volume is.
    """
    archive = volume.archive
    rows = {
        "shape (z, y, x)": volume.shape,
        "voxel size in nm": archive.placement.voxel_size_nm,
        "offset in voxels": archive.placement.offset_voxels,
        "block shape": volume.chunks,
        "blocks": f"{archive.num_blocks:,}",
    }
    cells = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    place = html.escape(str(archive.location))
    return (
        "<div style='display:flex;flex-wrap:wrap;gap:1em;align-items:start'>"
        f"<div><b>jaxslice volume</b> <code>{place}</code><table>{cells}</table></div>"
        f"{_picture(volume)}</div>"
    )


def _picture(volume: LazyVolume) -> str:
    z = volume.shape[0] // 2
    rows, columns = (
        slice(n // 2 // size * size, n // 2 // size * size + size)
        for n, size in zip(volume.shape[1:], volume.chunks[1:], strict=True)
    )
    try:
        plane = np.asarray(volume[z, rows, columns])
    except (FormatError, OSError) as error:
        # Looking at a variable must not end in a traceback.
        return f"<div>No picture: {html.escape(str(error))}</div>"
    step = -(-max(plane.shape) // MOST_PIXELS)
    data = base64.b64encode(png(_eight_bits(plane[::step, ::step]))).decode()
    start = volume.archive.placement.offset_voxels
    where = f"z = {start[0] + z}, y from {start[1] + rows.start}, x from {start[2] + columns.start}"
    return (
        f"<figure style='margin:0'><img alt='slice' src='data:image/png;base64,{data}'>"
        f"<figcaption>{where}</figcaption></figure>"
    )


def _eight_bits(plane: np.ndarray) -> np.ndarray:
    """A plane as screens show it: 16 bits hold mostly less, and would look black."""
    if plane.dtype == np.uint8:
        return np.ascontiguousarray(plane)
    low, high = np.percentile(plane, [0.5, 99.5])
    scaled = (plane.astype(np.float32) - low) * (255 / max(high - low, 1))
    return np.clip(scaled, 0, 255).astype(np.uint8)
