"""The two pictures of Hinkle et al. 2020: what the network expects, and what it saves.

"Lossless Deep Image Compression at the Edge for 3D Electron Microscopy". Both are drawn without
pyplot, so that drawing touches no global state and needs no display.
"""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

import numpy as np

from jaxslice.bench.palette import MUTED_TEXT, OTHERS, OURS, TEXT
from jaxslice.core.errors import MissingExtraError, UsageError

_DPI = 150
_WIDTH_INCHES = 12.0
_RAW_BITS = 8.0
_LEFT, _GAP, _RIGHT, _TOP, _BOTTOM = 0.2, 0.16, 0.8, 0.82, 0.2
"""Space around the panels of figure 1, in inches."""


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Sizes in figure 1, in inches."""

    panel_width: float
    panel_height: float
    inches_per_voxel: float

    @classmethod
    def of(cls, rows: int, columns: int) -> _Layout:
        width = (_WIDTH_INCHES - _LEFT - _RIGHT - 2 * _GAP) / 3
        # Very flat or tall cuts keep their proportions inside a panel of limited height.
        height = min(max(width * rows / columns, 1.2), 2 * width)
        return cls(width, height, min(width / columns, height / rows))

    @property
    def height(self) -> float:
        """Of the whole figure."""
        return self.panel_height + _TOP + _BOTTOM

    def place(self, x: float, width: float) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of axes, as shares of the figure."""
        return (
            x / _WIDTH_INCHES,
            _BOTTOM / self.height,
            width / _WIDTH_INCHES,
            self.panel_height / self.height,
        )


def figure1(
    path: str | os.PathLike[str],
    original: np.ndarray,
    prediction: np.ndarray,
    confidence_bits: np.ndarray,
    *,
    title: str,
    voxel_size_nm: float | None = None,
) -> None:
    """Draws one cut through a volume: its voxels, their prediction and the bits they cost.

    The picture is a PNG, 1800 pixels wide.

    Args:
      path: file to write.
      original: grey levels [row, column], 0 to 255.
      prediction: mean of the predicted distribution of each voxel, 0 to 255.
      confidence_bits: bits that each voxel is expected to take, from 0; few mean confidence.
      title: one line above the panels.
      voxel_size_nm: edge of a voxel along a row; without it the scale bar counts voxels.

    Raises:
      MissingExtraError: matplotlib or matplotlib-scalebar is not installed.
      UsageError: the cuts are empty or differ in shape, or the voxel size is not positive.
    """
    cuts = _checked_cuts([original, prediction, confidence_bits], voxel_size_nm)
    rows, columns = cuts[0].shape
    layout = _Layout.of(rows, columns)
    figure = _new_figure(_WIDTH_INCHES, layout.height)
    left, top = _LEFT / _WIDTH_INCHES, 1 - 0.3 / layout.height
    figure.text(left, top, title, size=14, weight="bold", va="center", color=TEXT)
    # A few very cheap or costly voxels must not wash out the colours of all the others.
    low, high = np.percentile(cuts[2], [0.5, 99.5])
    least_bits = math.floor(low)
    most_bits = max(least_bits + 1, math.ceil(high))
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255}
    colours = {"cmap": "magma", "vmin": least_bits, "vmax": most_bits}
    names = ("Original", "Predicted mean", "Confidence: expected bits")
    # Text that would hide most of a tiny or very flat cut is worse than none.
    scaled = columns * layout.inches_per_voxel > 1.0 and rows * layout.inches_per_voxel > 0.6
    image = None
    for number, (cut, name, style) in enumerate(
        zip(cuts, names, (grey, grey, colours), strict=True)
    ):
        x = _LEFT + number * (layout.panel_width + _GAP)
        axes = figure.add_axes(layout.place(x, layout.panel_width))
        image = axes.imshow(cut, interpolation="nearest", **style)
        axes.set_title(name, size=11, loc="left", color=TEXT, pad=5)
        axes.set_axis_off()
        if scaled:
            axes.add_artist(_scale_bar(voxel_size_nm))
    _draw_colour_bar(
        figure, layout, image, (float(cuts[2].min()), float(cuts[2].max())), (least_bits, most_bits)
    )
    figure.savefig(path, format="png", dpi=_DPI)


def _checked_cuts(cuts: list[np.ndarray], voxel_size_nm: float | None) -> list[np.ndarray]:
    """The cuts as arrays; UsageError if they or the voxel size cannot be drawn."""
    arrays = [np.asarray(cut) for cut in cuts]
    shapes = [cut.shape for cut in arrays]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2 or min(shapes[0]) < 1:
        raise UsageError(f"Got cuts of shapes {shapes}, expected three of one shape [row, column].")
    if voxel_size_nm is not None and not (math.isfinite(voxel_size_nm) and voxel_size_nm > 0):
        raise UsageError(f"Got a voxel size of {voxel_size_nm} nm, expected more than 0.")
    return arrays


def _draw_colour_bar(
    figure: Any,
    layout: _Layout,
    image: Any,
    found: tuple[float, float],
    shown: tuple[int, int],
) -> None:
    """The scale of the bits; pointed where some of those found are beyond those shown."""
    from matplotlib.ticker import MaxNLocator

    axes = figure.add_axes(layout.place(_WIDTH_INCHES - _RIGHT + 0.1, 0.14))
    below, above = found[0] < shown[0], found[1] > shown[1]
    beyond = ("neither", "max", "min", "both")[2 * bool(below) + bool(above)]
    bar = figure.colorbar(image, cax=axes, extend=beyond, ticks=MaxNLocator(integer=True))
    bar.set_label("bits", size=10, color=TEXT)
    bar.ax.tick_params(labelsize=9, colors=TEXT)
    bar.outline.set_visible(False)


def _scale_bar(voxel_size_nm: float | None) -> Any:
    """A bar of a round length in the lower left corner, in voxels if their size is not given."""
    try:
        from matplotlib_scalebar.scalebar import ScaleBar
    except ImportError:
        raise MissingExtraError(
            "Drawing a scale bar needs matplotlib-scalebar: pip install 'jaxslice[bench]'."
        ) from None
    look = {
        "location": "lower left",
        "length_fraction": 1 / 3,
        "color": "white",
        "box_color": "black",
        "box_alpha": 0.5,
    }
    if voxel_size_nm is not None:
        return ScaleBar(voxel_size_nm, "nm", **look)
    voxels = lambda value, unit: f"{value} voxel{'s' if value != 1 else ''}"
    return ScaleBar(1, "px", dimension="pixel-length", scale_formatter=voxels, **look)


def figure2(path: str | os.PathLike[str], rates: dict[str, float], *, title: str) -> None:
    """Draws the bits per voxel of each codec as bars, raw first, then from worst to best.

    The picture is a PNG, 1200 pixels wide. Keys that begin with "jaxslice" are highlighted.

    Args:
      path: file to write.
      rates: bits per voxel of each codec; "raw" is added at 8 bits where it is missing.
      title: one line above the bars.

    Raises:
      MissingExtraError: matplotlib is not installed.
      UsageError: there are no rates, or one is not a positive number.
    """
    if not rates:
        raise UsageError("Got no rates, expected bits per voxel of at least one codec.")
    if bad := {name: rate for name, rate in rates.items() if not (0 < rate < math.inf)}:
        raise UsageError(f"Got the rates {bad}, expected positive numbers.")
    raw = {"raw": rates.get("raw", _RAW_BITS)}
    others = sorted((n for n in rates if n != "raw"), key=lambda name: -rates[name])
    ordered = raw | {name: rates[name] for name in others}
    width, top, bottom, row = 8.0, 0.75, 0.3, 0.4
    height = top + bottom + row * len(ordered)
    figure = _new_figure(width, height)
    left = 0.3 + 0.095 * max(len(name) for name in ordered)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - 0.7) / width, 1 - (top + bottom) / height)
    )
    figure.text(
        0.2 / width, 1 - 0.28 / height, title, size=13, weight="bold", va="center", color=TEXT
    )
    figure.text(
        0.2 / width,
        1 - 0.56 / height,
        "bits per voxel, less is better",
        size=10,
        va="center",
        color=MUTED_TEXT,
    )
    for place, (name, rate) in enumerate(ordered.items()):
        ours = name.startswith("jaxslice")
        weight = "bold" if ours else "normal"
        axes.barh(place, rate, height=0.68, color=OURS if ours else OTHERS)
        label = {"va": "center", "size": 11, "weight": weight, "color": TEXT}
        axes.annotate(
            name, (0, place), xytext=(-6, 0), textcoords="offset points", ha="right", **label
        )
        axes.annotate(
            f"{rate:.2f}", (rate, place), xytext=(5, 0), textcoords="offset points", **label
        )
    axes.set_xlim(0, max(ordered.values()))
    axes.set_ylim(len(ordered) - 0.5, -0.5)
    axes.set_axis_off()
    figure.savefig(path, format="png", dpi=_DPI)


def _new_figure(width_inches: float, height_inches: float):
    figure_class, canvas_class = load_matplotlib()
    figure = figure_class(figsize=(width_inches, height_inches), facecolor="white")
    canvas_class(figure)
    return figure


def load_matplotlib() -> tuple[Any, Any]:
    """The classes of figures, and of canvases that need no display.

    Raises:
      MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "Drawing figures needs matplotlib: pip install 'jaxslice[bench]'."
        ) from None
    return Figure, FigureCanvasAgg
