"""The picture of the CSV of peers.py: rate over speed, for encoding and for decoding.

python experiments/peers.py --plot-only=peers.png --output=experiments/results/peers.csv
"""

import dataclasses
import itertools
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.bench import palette

REFERENCE = "JPEG-XL e7"
OURS = "jaxslice effort "
SPEEDS = ("encode_mb_per_s", "decode_mb_per_s")
HIGHLIGHT, PLAIN, TEXT = palette.OURS, "#7d8b99", palette.TEXT
MARKER_PIXELS = 14


@dataclasses.dataclass(frozen=True)
class Summary:
    """One codec on one core, over all volumes that it and JPEG-XL e7 were measured on.

    Attributes:
      codec: its name.
      relative_rate: mean over the volumes of its bits per voxel over those of JPEG-XL e7.
      speeds: geometric means, in MB/s: encoding, decoding.
      label: its name, and the number of volumes where some are missing.
    """

    codec: str
    relative_rate: float
    speeds: tuple[float, float]
    label: str


def summaries(rows: list[dict[str, str]]) -> list[Summary]:
    """What the picture shows, from the rows of the CSV; those without speeds are left out.

    Raises:
      ValueError: nothing was measured together with JPEG-XL e7.
    """
    rates: dict[str, dict[str, float]] = defaultdict(dict)
    speeds: dict[str, list[list[float]]] = defaultdict(list)
    alone = [row for row in rows if row["threads"] == "1" and all(row[s] for s in SPEEDS)]
    for row in alone:
        rates[row["codec"]][row["volume"]] = float(row["bits_per_voxel"])
    reference = rates.get(REFERENCE)
    if not reference:
        raise ValueError(f"Got no row of {REFERENCE} on one thread, expected some to compare with.")
    for row in alone:
        if row["volume"] in reference:
            speeds[row["codec"]].append([float(row[speed]) for speed in SPEEDS])
    found = []
    for codec, measured in speeds.items():
        ratios = [
            rates[codec][name] / reference[name] for name in rates[codec] if name in reference
        ]
        encode, decode = np.exp(np.log(measured).mean(axis=0)).tolist()
        some = "" if len(ratios) == len(reference) else f" ({len(ratios)} of {len(reference)})"
        found.append(Summary(codec, sum(ratios) / len(ratios), (encode, decode), codec + some))
    return found


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (speed, rate) that no other beats in both, from the fastest to the slowest."""
    best: list[tuple[float, float]] = []
    for speed, rate in sorted(points, key=lambda point: (-point[0], point[1])):
        if not best or rate < best[-1][1]:
            best.append((speed, rate))
    return best


def draw(rows: list[dict[str, str]], path: Path) -> list[np.ndarray]:
    """Draws rate over speed as a PNG.

    Args:
      rows: of the CSV.
      path: file to write.

    Returns:
      The labels of both panels: left, bottom, right and top of each [n,4], in pixels.

    Raises:
      ValueError: nothing was measured together with JPEG-XL e7.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = summaries(rows)
    figure = Figure(figsize=(15, 7.5), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    lines: list[list[list[tuple[float, float]]]] = []
    for axes, title, index in zip(panels, ("Encoding", "Decoding"), (0, 1), strict=True):
        efforts = sorted((s for s in found if s.codec.startswith(OURS)), key=lambda s: s.codec)
        ours = [(s.speeds[index], s.relative_rate) for s in efforts]
        others = [(s.speeds[index], s.relative_rate) for s in found if not s.codec.startswith(OURS)]
        front = frontier(others)
        axes.plot(*zip(*front, strict=True), "--", color=PLAIN, linewidth=1, zorder=1)
        axes.scatter(*zip(*others, strict=True), s=30, color=PLAIN, zorder=2)
        if ours:
            axes.plot(*zip(*ours, strict=True), "o-", color=HIGHLIGHT, markersize=8, zorder=3)
        lines.append([front, ours])
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(0.14, 0.08)
        axes.grid(which="both", color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_title(title)
        axes.set_xlabel("MB/s on one core, coding alone (right is faster)")
    panels[0].set_ylabel(f"bits per voxel, relative to {REFERENCE} (lower is smaller)")
    volumes = sorted({row["volume"] for row in rows if row[SPEEDS[0]]})
    which = volumes[0] if len(volumes) == 1 else f"means over {len(volumes)} volumes"
    figure.suptitle(f"Lossless coding of EM: {which}; dashed, the best peers")
    canvas.draw()
    figure.set_layout_engine("none")
    labels = [
        _write_labels(axes, found, index, drawn)
        for index, (axes, drawn) in enumerate(zip(panels, lines, strict=True))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return labels


def _write_labels(
    axes: Any, found: list[Summary], index: int, lines: list[list[tuple[float, float]]]
) -> np.ndarray:
    """Writes each codec's name near its point, where it covers no other name, point or line."""
    from matplotlib.text import Text

    renderer = axes.figure.canvas.get_renderer()
    frame = np.array(axes.get_window_extent(renderer).extents)
    places = [(summary.speeds[index], summary.relative_rate) for summary in found]
    pixels = axes.transData.transform(places)
    half = MARKER_PIXELS / 2
    taken = np.concatenate([pixels - half, pixels + half], axis=1)
    along = [_along(axes.transData.transform(line)) for line in lines if len(line) > 1]
    dots = np.concatenate([np.zeros((0, 2)), *along])
    distances, angles = np.meshgrid(np.arange(10, 200, 6), np.linspace(0, 2 * math.pi, 25)[:-1])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1, 2)
    distances = distances.reshape(-1, 1)
    written = []
    for summary, place, pixel in zip(found, places, pixels, strict=True):
        ours = summary.codec.startswith(OURS)
        text = axes.annotate(
            summary.label, place, (0, 0), textcoords="offset pixels", ha="center", va="center",
            fontsize=10, color=HIGHLIGHT if ours else TEXT, weight="bold" if ours else "normal",
            arrowprops={"arrowstyle": "-", "color": PLAIN, "linewidth": 0.6, "shrinkB": 4},
            zorder=4,
        )  # fmt: skip
        size = np.array(Text.get_window_extent(text, renderer).size)
        offsets = directions * (distances + size / 2)
        centres = pixel + offsets
        boxes = np.concatenate([centres - size / 2, centres + size / 2], axis=1)
        spaced = boxes + np.array([-3, -3, 3, 3])
        covered = _overlaps(spaced, taken).sum(axis=1)
        crossed = _overlaps(boxes, np.tile(dots, 2)).any(axis=1)
        outside = (boxes[:, :2] < frame[:2]).any(axis=1) | (boxes[:, 2:] > frame[2:]).any(axis=1)
        best = np.argmin(distances[:, 0] + 1000 * covered + 1000 * outside + 25 * crossed)
        text.set_position(offsets[best])
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
