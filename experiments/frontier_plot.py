"""The picture of frontier.csv: share of the best peer over speed, for encoding and for decoding.

python experiments/frontier.py --plot-only
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
from common import Row
from labels import write_labels
from shares import Summary, frontier, is_ours, summaries

OURS = "jaxslice effort "
SIZE_INCHES, DPI = (8.5, 9.5), 200
TICKS = (0.94, 0.96, 0.98, 1.0, 1.03, 1.06, 1.1, 1.2, 1.3, 1.5, 1.8)
NEAR = 0.88
"""Shares are drawn by the logarithm of their distance to this, to spread the best codecs."""

IMAGES = ("PNG", "JPEG", "WebP", "HTJ2K", "OpenZL", "tomoz, slices")


@dataclasses.dataclass(frozen=True)
class Look:
    """Colours of a picture: they differ in lightness as well, and every group has its marker."""

    paper: str
    text: str
    grid: str
    ours: str
    images: str
    others: str


LOOKS = {
    "": Look("#ffffff", "#222222", "#e4e4e4", "#c8451b", "#3b6ea5", "#7a7a7a"),
    "_dark": Look("#0d1117", "#e6e6e6", "#30363d", "#ff8c5a", "#7fb2ee", "#a8a8a8"),
}
"""By what is added to the name of the picture."""


def draw(rows: list[Row], table: Path) -> list[np.ndarray]:
    """Draws both pictures beside the CSV.

    Args:
      rows: of the CSV.
      table: the CSV's path.

    Returns:
      The labels of all panels: left, bottom, right and top of each [n,4], in pixels.

    Raises:
      ValueError: a volume was measured without a peer.
    """
    found = summaries(rows)
    volumes = len({row["volume"] for row in rows})
    seen = any(is_ours(row["codec"]) and row["model"] == "shipped" for row in rows)
    drawn = []
    for suffix, look in LOOKS.items():
        figure, labels = _draw_one(found, volumes, seen, look)
        figure.savefig(table.with_name(f"{table.stem}{suffix}.png"), facecolor=look.paper)
        drawn += labels
    return drawn


def _draw_one(
    found: list[Summary], volumes: int, seen: bool, look: Look
) -> tuple[Any, list[np.ndarray]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained", facecolor=look.paper)
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(2, 1)
    lines = [
        _draw_panel(axes, found, way, look)
        for axes, way in zip(panels, ("encode", "decode"), strict=True)
    ]
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=9,
        frameon=False, labelcolor=look.text, handletextpad=0.3,
    )  # fmt: skip
    note = "\nmodels that have seen these volumes" if seen else ""
    figure.supylabel(
        f"bits per voxel as share of the best peer, mean of {volumes} EM volumes" + note,
        fontsize=9, color=look.text,
    )  # fmt: skip
    canvas.draw()
    figure.set_layout_engine("none")
    labels = []
    for axes, way, line in zip(panels, ("encode", "decode"), lines, strict=True):
        places = [(getattr(summary, way), summary.share) for summary in found]
        texts = [_label(summary, volumes) for summary in found]
        styles = [
            {"color": look.ours, "weight": "bold"} if summary.ours else {"color": look.text}
            for summary in found
        ]
        labels.append(write_labels(axes, places, texts, styles, line, look.grid))
    return figure, labels


def _draw_panel(axes: Any, found: list[Summary], way: str, look: Look) -> list[tuple[float, float]]:
    """Draws points and the frontier; returns the corners of the frontier's line."""
    points = [(getattr(summary, way), summary.share) for summary in found]
    front = frontier(points)
    corners = [front[0]]
    for (_, above), (speed, share) in itertools.pairwise(front):
        # At a speed between those of two codecs, the faster one is what can be had.
        corners += [(speed, above), (speed, share)]
    axes.plot(
        *zip(*corners, strict=True), color=look.text, linestyle="--", linewidth=0.8, alpha=0.7,
        zorder=1, label="frontier",
    )  # fmt: skip
    groups = (
        ("jaxslice", look.ours, "D", lambda summary: summary.ours),
        ("image codecs, slice by slice", look.images, "o", _is_image_codec),
        ("3-D, video and general codecs", look.others, "s", _is_other),
    )
    for label, colour, marker, belongs in groups:
        own = [(getattr(s, way), s.share) for s in found if belongs(s)]
        if own:
            axes.scatter(
                *zip(*own, strict=True), s=28, color=colour, marker=marker, label=label, zorder=3
            )
    axes.set_xscale("log")
    axes.set_yscale(
        "function", functions=(lambda s: np.log(np.maximum(s - NEAR, 1e-3)),
                               lambda v: NEAR + np.exp(v)),
    )  # fmt: skip
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    shares = [share for _, share in points]
    axes.set_ylim(min(shares) - 0.006, max(shares) + 0.12)
    speeds = [speed for speed, _ in points]
    axes.set_xlim(min(speeds) / 1.7, max(speeds) * 2.2)
    decades = range(math.floor(math.log10(min(speeds))), math.ceil(math.log10(max(speeds))) + 1)
    ticks = [m * 10.0**d for d in decades for m in (1, 2, 5)]
    low, high = axes.get_xlim()
    kept = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(kept, [f"{tick:g}" for tick in kept])
    axes.grid(color=look.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_facecolor(look.paper)
    axes.tick_params(colors=look.text, labelsize=8, length=0)
    axes.spines[:].set_color(look.grid)
    axes.set_xlabel(
        f"{way[:-1]}ing, MB per CPU second of one core (right is faster)",
        fontsize=9,
        color=look.text,
    )
    return corners


def _label(summary: Summary, volumes: int) -> str:
    some = "" if summary.volumes == volumes else f" ({summary.volumes} of {volumes})"
    return summary.codec + some


def _is_image_codec(summary: Summary) -> bool:
    return summary.codec.startswith(IMAGES)


def _is_other(summary: Summary) -> bool:
    return not summary.ours and not _is_image_codec(summary)
