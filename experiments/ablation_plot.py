"""The picture of the CSV of ablation.py: how many percent more each variant takes.

python experiments/ablation.py --plot-only
"""

from __future__ import annotations

from pathlib import Path

import common
from common import OURS, PAPER, TEXT, Row

GROUPS = (
    "context", "order", "inputs", "hidden units", "components", "large model", "precision",
    "effort",
)  # fmt: skip
"""Of variants that belong together, from top to bottom."""

LARGEST_PERCENT = 3.0
"""Bars end here, so that small differences can be seen; their labels give the value."""


def percent_more(rows: list[Row]) -> dict[str, float]:
    """For each variant of one volume its bits over those of the one it compares with, in percent.

    Variants that others compare with are left out, as they would be 0.

    Raises:
      ValueError: a variant was measured without the one that it compares with.
    """
    bits = {row["variant"]: float(row["bits_per_voxel"]) for row in rows}
    found = {}
    for row in rows:
        base = row["compared_with"]
        if base not in bits:
            raise ValueError(f"Got {row['variant']!r} without {base!r}, expected both in the CSV.")
        if row["variant"] != base:
            found[row["variant"]] = 100 * (bits[row["variant"]] / bits[base] - 1)
    return found


def draw(rows: list[Row], output: Path) -> None:
    """Draws one panel of bars for each volume, with the same variants from top to bottom."""
    volumes = list(dict.fromkeys(row["volume"] for row in rows))
    percents = {v: percent_more([row for row in rows if row["volume"] == v]) for v in volumes}
    shown = list(dict.fromkeys(name for found in percents.values() for name in found))
    about = {row["variant"]: (row["group"], row["compared_with"]) for row in rows}
    shown.sort(key=lambda name: GROUPS.index(about[name][0]))
    heights, headings = _places(shown, about)
    top = max(heights.values()) + 0.6
    figure = common.new_figure(max(7.0, 3.6 + 2.3 * len(volumes)), 1.4 + 0.25 * top)
    panels = figure.subplots(1, len(volumes), squeeze=False, sharey=True)[0]
    for axes, volume in zip(panels, volumes, strict=True):
        for name, percent in percents[volume].items():
            length = max(-LARGEST_PERCENT, min(LARGEST_PERCENT, percent))
            axes.barh(heights[name], length, height=0.7, color=OURS if percent > 0 else PAPER)
            axes.annotate(
                f"{percent:+.2f}" if abs(percent) < 10 else f"{percent:+.0f}",
                (max(length, 0.0), heights[name]), xytext=(4, 0), textcoords="offset points",
                va="center", size=9, color=TEXT, weight="bold" if abs(length) < percent else None,
            )  # fmt: skip
        axes.axvline(0, color=TEXT, linewidth=0.8)
        least = min(0.0, *percents[volume].values())
        axes.set_xlim(max(least, -LARGEST_PERCENT) * 1.1 - 0.2, LARGEST_PERCENT * 1.45)
        mine = (row for row in rows if row["volume"] == volume)
        base = min((row for row in mine if row["variant"] == row["compared_with"]), key=_rank)
        bits = float(base["bits_per_voxel"])
        axes.set_title(f"{volume}\n{base['variant']}: {bits:.3f} bits", size=10, color=TEXT)
        axes.set_xlabel("% more bits (bold: cut short)", size=9)
        common.bare(axes)
    ticks = {**{height: name for name, height in heights.items()}, **headings}
    panels[0].set_yticks(list(ticks), list(ticks.values()), size=9)
    for label, height in zip(panels[0].get_yticklabels(), ticks, strict=True):
        label.set_weight("bold" if height in headings else "normal")
    panels[0].set_ylim(top, -0.8)
    figure.suptitle("What each part buys: bits with one part changed", weight="bold", color=TEXT)
    figure.savefig(output.with_suffix(".png"))


def _rank(row: Row) -> int:
    """Where a row's group stands; the default network, which is of none, stands first."""
    return GROUPS.index(row["group"]) if row["group"] else -1


def _places(
    shown: list[str], about: dict[str, tuple[str, str]]
) -> tuple[dict[str, float], dict[float, str]]:
    """How far down each variant's bar stands, and the headings of groups by where they stand."""
    heights: dict[str, float] = {}
    headings: dict[float, str] = {}
    down, previous = -1.0, None
    for name in shown:
        group, base = about[name]
        if group != previous:
            down += 1.3
            headings[down] = f"{group} (against {base})"
        down += 1.0
        heights[name], previous = down, group
    return heights, headings
