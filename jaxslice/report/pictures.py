"""Pictures inside a page: grey and coloured PNGs, and lines as SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from jaxslice.core.png import png

# Black, violet, orange, pale yellow: lightness grows evenly, so that it also prints in grey.
_COLOURS = np.array(
    [[0, 0, 4], [40, 17, 89], [114, 31, 129], [182, 54, 121], [241, 96, 93], [254, 175, 119],
     [252, 253, 191]], float
)  # fmt: skip
_NOTHING = (200, 200, 200)


def data_uri(image: np.ndarray) -> str:
    """A picture as a URL: uint8 [row, column] grey, or [row, column, 3] red, green and blue."""
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"


def grey_levels(image: np.ndarray) -> np.ndarray:
    """A picture in 8 bits: as it is, or stretched from what nearly all of its pixels have."""
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, [0.5, 99.5])
    scaled = (image.astype(np.float64) - low) * (255 / max(high - low, 1e-9))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def coloured(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as colours from dark (low) to light (high), uint8 [row, column, 3]; NaN is grey."""
    share = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-9), 0, 1)
    places = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(share, places, _COLOURS[:, channel]) for channel in range(3)]
    image = np.stack(channels, -1).round().astype(np.uint8)
    image[np.isnan(values)] = _NOTHING
    return image


def limits(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """What nearly all values lie between, as the ends of one scale of colours."""
    found = np.concatenate([array[np.isfinite(array)].ravel() for array in values])
    low, high = np.percentile(found, [0.5, 99.5])
    return float(np.floor(low * 10) / 10), float(np.ceil(high * 10) / 10)


def line_svg(points: Sequence[tuple[float, float]], x_label: str, y_label: str) -> str:
    """A line through points, with the ends of both axes labelled."""
    width, height, left, bottom = 640, 200, 48, 28
    xs, ys = zip(*points, strict=True)
    low, high = min(ys), max(ys)
    margin = max((high - low) * 0.1, 0.02)
    low, high = low - margin, high + margin
    span = max(xs) - min(xs) or 1

    def place(x: float, y: float) -> str:
        across = left + (x - min(xs)) / span * (width - left - 8)
        return f"{across:.1f},{8 + (high - y) / (high - low) * (height - bottom - 8):.1f}"

    line = " ".join(place(x, y) for x, y in points)
    dots = "".join(
        f'<circle cx="{place(x, y).split(",")[0]}" cy="{place(x, y).split(",")[1]}" r="3">'
        f"<title>{x_label} {x:g}: {y:.3f} {y_label}</title></circle>"
        for x, y in points
    )
    base = height - bottom
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" class="line">'
        f'<line x1="{left}" y1="{base}" x2="{width}" y2="{base}" class="axis"/>'
        f'<line x1="{left}" y1="8" x2="{left}" y2="{base}" class="axis"/>'
        f'<polyline points="{line}"/>{dots}'
        f'<text x="{left - 4}" y="16" text-anchor="end">{high:.2f}</text>'
        f'<text x="{left - 4}" y="{base}" text-anchor="end">{low:.2f}</text>'
        f'<text x="{left}" y="{height - 8}">{x_label} {min(xs):g}</text>'
        f'<text x="{width}" y="{height - 8}" text-anchor="end">{x_label} {max(xs):g}</text></svg>'
    )
