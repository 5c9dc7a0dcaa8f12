"""Names of points in a picture, each where it covers no other name, point or line."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

MARKER_POINTS = 7
NEAR_POINTS = 12
"""A name that is further than this from its point is joined to it by a stroke."""


def write_labels(
    axes: Any,
    places: Sequence[tuple[float, float]],
    texts: Sequence[str],
    styles: Sequence[dict[str, Any]],
    line: Sequence[tuple[float, float]],
    pointer: str,
) -> np.ndarray:
    """Writes a name near each point of a panel.

    Args:
      axes: the panel, whose limits are final.
      places: x and y of each point, in data.
      texts: the names.
      styles: of each text, for matplotlib.
      line: corners of a line to keep clear of where that is possible.
      pointer: colour of the strokes between names and points.

    Returns:
      Left, bottom, right and top of each name [n,4], in pixels.
    """
    from matplotlib.text import Text

    renderer = axes.figure.canvas.get_renderer()
    scale = axes.figure.dpi / 72
    frame = np.array(axes.get_window_extent(renderer).extents)
    pixels = axes.transData.transform(places)
    half = MARKER_POINTS * scale / 2
    taken = np.concatenate([pixels - half, pixels + half], axis=1)
    dots = _along(axes.transData.transform(line)) if len(line) > 1 else np.zeros((0, 2))
    distances, angles = np.meshgrid(
        np.arange(6, 120, 3) * scale, np.linspace(0, 2 * math.pi, 49)[:-1]
    )
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1, 2)
    distances = distances.reshape(-1, 1)
    written = []
    for place, pixel, text, style in zip(places, pixels, texts, styles, strict=True):
        drawn = axes.annotate(
            text, place, (0, 0), textcoords="offset pixels", ha="center", va="center",
            fontsize=8, zorder=4, **style,
            arrowprops={"arrowstyle": "-", "color": pointer, "linewidth": 0.7, "shrinkB": 4},
        )  # fmt: skip
        size = np.array(Text.get_window_extent(drawn, renderer).size)
        offsets = directions * (distances + size / 2)
        centres = pixel + offsets
        boxes = np.concatenate([centres - size / 2, centres + size / 2], axis=1)
        covered = _overlaps(boxes + np.array([-2, -2, 2, 2]) * scale, taken).sum(axis=1)
        crossed = _overlaps(boxes, np.tile(dots, 2)).any(axis=1)
        outside = (boxes[:, :2] < frame[:2]).any(axis=1) | (boxes[:, 2:] > frame[2:]).any(axis=1)
        cost = distances[:, 0] / scale + 1000 * covered + 1000 * outside + 25 * crossed
        best = np.argmin(cost)
        drawn.set_position(offsets[best])
        drawn.arrow_patch.set_visible(distances[best, 0] > NEAR_POINTS * scale)
        taken = np.concatenate([taken, boxes[best : best + 1]])
        written.append(boxes[best])
    return np.array(written)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether boxes [n,4] (left, bottom, right, top) overlap others [m,4], as bool [n,m]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.all(low <= high, axis=2)


def _along(corners: np.ndarray) -> np.ndarray:
    """Points [n,2] all along the line through some corners [m,2]."""
    part = np.linspace(0, 1, 100)[:, None]
    pairs = itertools.pairwise(corners)
    return np.concatenate([start + part * (end - start) for start, end in pairs])
