"""The two pictures of Hinkle et al. 2020: what the network sees and expects, and what it saves.

"Lossless Deep Image Compression at the Edge for 3D Electron Microscopy". Both are drawn without
pyplot, so that drawing touches no global state and needs no display.
"""

from __future__ import annotations

import math
import os

import numpy as np

from jaxslice.core.errors import MissingExtraError, UsageError

_DPI = 150
_WIDTH_INCHES = 12.0
_TEXT = "#222222"
_HIGHLIGHT = "#c8551b"
_PLAIN = "#a9b4c0"
_RAW_BITS = 8.0


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
      MissingExtraError: matplotlib is not installed.
      UsageError: the cuts are empty or differ in shape, or the voxel size is not positive.
    """
    cuts = [np.asarray(cut) for cut in (original, prediction, confidence_bits)]
    shapes = [cut.shape for cut in cuts]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2 or min(shapes[0]) < 1:
        raise UsageError(f"Got cuts of shapes {shapes}, expected three of one shape [row, column].")
    if voxel_size_nm is not None and not (math.isfinite(voxel_size_nm) and voxel_size_nm > 0):
        raise UsageError(f"Got a voxel size of {voxel_size_nm} nm, expected more than 0.")
    rows, columns = shapes[0]
    left, gap, right, top, bottom = 0.2, 0.16, 0.8, 0.82, 0.2
    panel_width = (_WIDTH_INCHES - left - right - 2 * gap) / 3
    # Very flat or tall cuts keep their proportions inside a panel of bearable height.
    panel_height = min(max(panel_width * rows / columns, 1.2), 2 * panel_width)
    inches_per_voxel = min(panel_width / columns, panel_height / rows)
    height = panel_height + top + bottom
    figure = _new_figure(_WIDTH_INCHES, height)
    figure.text(
        left / _WIDTH_INCHES,
        1 - 0.3 / height,
        title,
        size=14,
        weight="bold",
        va="center",
        color=_TEXT,
    )
    # A few very cheap or costly voxels must not wash out the colours of all the others.
    least_bits, most_bits = np.percentile(cuts[2], [0.5, 99.5])
    least_bits = math.floor(least_bits)
    most_bits = max(least_bits + 1, math.ceil(most_bits))
    styles = [
        ("Original", {"cmap": "gray", "vmin": 0, "vmax": 255}),
        ("Predicted mean", {"cmap": "gray", "vmin": 0, "vmax": 255}),
        ("Confidence: expected bits", {"cmap": "magma", "vmin": least_bits, "vmax": most_bits}),
    ]
    from matplotlib.ticker import MaxNLocator

    pictures = []
    for number, (cut, (name, style)) in enumerate(zip(cuts, styles, strict=True)):
        x_inches = left + number * (panel_width + gap)
        axes = figure.add_axes(
            (
                x_inches / _WIDTH_INCHES,
                bottom / height,
                panel_width / _WIDTH_INCHES,
                panel_height / height,
            )
        )
        pictures.append(axes.imshow(cut, interpolation="nearest", **style))
        axes.set_title(name, size=11, loc="left", color=_TEXT, pad=5)
        axes.set_axis_off()
        # Text that would hide most of a tiny or very flat cut is worse than none.
        if columns * inches_per_voxel > 1.0 and rows * inches_per_voxel > 0.6:
            _draw_scale_bar(axes, columns, voxel_size_nm)
    bar_axes = figure.add_axes(
        (
            (_WIDTH_INCHES - right + 0.1) / _WIDTH_INCHES,
            bottom / height,
            0.14 / _WIDTH_INCHES,
            panel_height / height,
        )
    )
    below, above = bool(cuts[2].min() < least_bits), bool(cuts[2].max() > most_bits)
    beyond = ("neither", "max", "min", "both")[2 * below + above]
    ticks = MaxNLocator(integer=True)
    bar = figure.colorbar(pictures[-1], cax=bar_axes, extend=beyond, ticks=ticks)
    bar.set_label("bits", size=10, color=_TEXT)
    bar.ax.tick_params(labelsize=9, colors=_TEXT)
    bar.outline.set_visible(False)
    figure.savefig(path, format="png", dpi=_DPI)


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
        0.2 / width, 1 - 0.28 / height, title, size=13, weight="bold", va="center", color=_TEXT
    )
    figure.text(
        0.2 / width,
        1 - 0.56 / height,
        "bits per voxel, less is better",
        size=10,
        va="center",
        color="#666666",
    )
    for place, (name, rate) in enumerate(ordered.items()):
        ours = name.startswith("jaxslice")
        weight = "bold" if ours else "normal"
        axes.barh(place, rate, height=0.68, color=_HIGHLIGHT if ours else _PLAIN)
        label = {"va": "center", "size": 11, "weight": weight, "color": _TEXT}
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
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "Drawing figures needs matplotlib: pip install 'jaxslice[bench]'."
        ) from None
    figure = Figure(figsize=(width_inches, height_inches), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _draw_scale_bar(axes, columns: int, voxel_size_nm: float | None) -> None:
    """A bar of a round length, at most a third of the cut wide, in its lower left corner."""
    length, label = _round_length(columns / 3, voxel_size_nm)
    if length > 0.9 * columns:
        return
    transform = axes.get_xaxis_transform()  # x in voxels, y as a fraction of the panel
    start = 0.04 * columns - 0.5
    axes.plot(
        [start, start + length],
        [0.05, 0.05],
        color="white",
        linewidth=3.5,
        solid_capstyle="butt",
        transform=transform,
    )
    text = axes.text(
        start + length / 2,
        0.07,
        label,
        color="white",
        size=9.5,
        weight="bold",
        ha="center",
        va="bottom",
        transform=transform,
    )
    from matplotlib.patheffects import withStroke

    text.set_path_effects([withStroke(linewidth=2, foreground="black")])
    for line in axes.lines:
        line.set_path_effects([withStroke(linewidth=5.5, foreground="black")])


def _round_length(most_voxels: float, voxel_size_nm: float | None) -> tuple[float, str]:
    """The greatest 1, 2 or 5 times a power of ten that fits: in voxels, and as a label."""
    unit = 1.0 if voxel_size_nm is None else voxel_size_nm
    power = 10.0 ** math.floor(math.log10(most_voxels * unit))
    length = max(step * power for step in (1, 2, 5) if step * power <= most_voxels * unit)
    if voxel_size_nm is None:
        # A part of a voxel is no scale; a cut that narrow gets a bar of one voxel.
        length = max(length, 1.0)
        return length, f"{length:g} voxel{'s' if length > 1 else ''}"
    label = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    return length / voxel_size_nm, label
