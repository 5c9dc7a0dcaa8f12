"""Lays out the page: one HTML file that needs nothing else, for a screen, a phone or paper."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.errors import MissingExtraError
from jaxslice.report.contents import Contents, HeatMap
from jaxslice.report.pictures import coloured, data_uri, grey_levels, limits, line_svg

MOST_BLOCK_ROWS = 1000

_ROWS_COLUMNS = {"z": ("y", "x"), "y": ("z", "x"), "x": ("z", "y")}
_LABELS = {"adaptation_gain_bits_per_voxel": "saved by the fit, bits per voxel",
           "tuning_gain_bits_per_voxel": "saved by tuning, bits per voxel",
           "own_networks": "blocks with a network of their own"}  # fmt: skip


def page_of(contents: Contents) -> str:
    """The page as HTML.

    Raises:
      MissingExtraError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError(
            "Writing a page needs Jinja2: pip install 'jaxslice[report]'."
        ) from None
    # Names and provenance come from files, and are escaped.
    safe = jinja2.utils.markupsafe.Markup  # pyright: ignore[reportPrivateImportUsage]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(Path(__file__).with_name("page.html").read_text())
    line = _slice_line(contents)
    return template.render(
        c=contents,
        facts=_facts(contents),
        planes=[
            {
                "uri": data_uri(grey_levels(plane.image)),
                "label": f"{plane.axis} = {plane.position}",
                "ratio": _ratio(plane.image, plane.stretch),
                "rows": f"rows {_ROWS_COLUMNS[plane.axis][0]}",
                "columns": f"columns {_ROWS_COLUMNS[plane.axis][1]}",
            }
            for plane in contents.planes
        ],
        cropped=any(
            size > max(max(plane.image.shape) for plane in contents.planes)
            for size in contents.info.details["shape"]
        ),
        prediction=_prediction(contents),
        heat=_heat(contents),
        slice_line=safe(line),
        blocks=_blocks(contents),
        rates=_rates(contents),
        crop=" x ".join(map(str, contents.crop_shape or ())),
        network_bytes=f"{contents.info.details['network_bytes']:,}",
        network=_network(contents),
        made=[*contents.made.items(), *_flat(contents.info.details["provenance"])],
        scale=lambda low, high: safe(_scale(low, high)),
    )


def _facts(contents: Contents) -> list[tuple[str, str]]:
    info = contents.info
    shape = " x ".join(f"{n:,}" for n in info.details["shape"])
    sizes = " x ".join(f"{n:g}" for n in info.details["voxel_size_nm"])
    return [
        ("bits per voxel", f"{info.bits_per_voxel:.3f}"),
        ("compression ratio", f"{info.compression_ratio:.2f}"),
        ("size", f"{_bytes(info.compressed_bytes)} of {_bytes(info.raw_bytes)}"),
        ("voxels, z x y x x", shape),
        ("data type", contents.data_type),
        ("voxel size in nm, z x y x x", sizes),
        ("blocks", f"{info.num_blocks:,} of {' x '.join(map(str, info.block_shape))}"),
    ]


def _bytes(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _ratio(image: np.ndarray, stretch: float) -> str:
    rows, columns = image.shape[:2]
    # Very flat cuts would be lines that nobody can see.
    return f"{columns / min(max(rows * stretch, columns / 6), columns * 3):.4f}"


def _prediction(contents: Contents) -> dict[str, Any] | None:
    found = contents.prediction
    if found is None:
        return None
    low, high = limits([found.expected_bits, found.spent_bits])
    predicted = np.clip(found.predicted, 0, 255).round().astype(np.uint8)
    mean = float(found.spent_bits.mean())
    return {
        "position": found.position,
        "low": low,
        "high": high,
        "ratio": _ratio(found.original, 1.0),
        "pictures": [
            (data_uri(found.original), "as it is"),
            (data_uri(predicted), "predicted, before each voxel is known"),
            (data_uri(coloured(found.expected_bits, low, high)),
             "confidence: bits that a voxel is expected to cost"),
            (data_uri(coloured(found.spent_bits, low, high)),
             f"bits that were spent, {mean:.3f} in the mean"),
        ],
    }  # fmt: skip


def _heat(contents: Contents) -> list[tuple[str, str, list[dict[str, str]], float, float]]:
    groups: tuple[tuple[str, str, Sequence[HeatMap]], ...] = (
        ("blocks", "Bits per voxel of all blocks, as they are stored; the mean of those behind "
         "each other.", contents.block_maps),
        ("fine", "Bits per voxel of the blocks in the middle, from some of their slices.",
         contents.fine_maps),
    )  # fmt: skip
    found = []
    for title, text, maps in groups:
        if maps:
            low, high = limits([one.bits for one in maps])
            pictures = [
                {
                    "uri": data_uri(coloured(one.bits, low, high)),
                    "title": one.title,
                    "ratio": _ratio(one.bits, one.stretch),
                }
                for one in maps
            ]
            found.append((title, text, pictures, low, high))
    return found


def _scale(low: float, high: float) -> str:
    uri = data_uri(coloured(np.linspace(low, high, 128)[None], low, high))
    return (
        f'<div class="scale" style="background: url({uri}) 0 0 / 100% 100%"></div>'
        f'<p class="muted">{low:.1f} to {high:.1f} bits per voxel</p>'
    )


def _slice_line(contents: Contents) -> str:
    if len(contents.slices) < 2:
        return ""
    points = [(float(one.z), one.bits_per_voxel) for one in contents.slices]
    return line_svg(points, "z =", "bits per voxel")


def _blocks(contents: Contents) -> dict[str, Any]:
    rates = [block.bits_per_voxel for block in contents.blocks]
    return {
        "least": f"{min(rates):.3f}",
        "median": f"{statistics.median(rates):.3f}",
        "most": f"{max(rates):.3f}",
        "rows": contents.blocks[:MOST_BLOCK_ROWS],
        "cut": len(contents.blocks) > MOST_BLOCK_ROWS,
    }


def _rates(contents: Contents) -> list[dict[str, Any]]:
    most = max((rate.bits_per_voxel for rate in contents.rates), default=1.0)
    return [
        {"name": rate.name, "bits_per_voxel": rate.bits_per_voxel, "ours": rate.ours,
         "share": f"{80 * rate.bits_per_voxel / most:.1f}"}
        for rate in contents.rates
    ]  # fmt: skip


def _network(contents: Contents) -> list[tuple[str, str]]:
    info = contents.info
    architecture = info.details["architecture"]
    rows = [
        ("parameters", f"{info.num_params:,}"),
        ("multiply-adds for a voxel", f"{info.multiply_adds_per_voxel:,}"),
        ("bytes in the archive", f"{info.details['network_bytes']:,}"),
        ("voxels that a prediction reads", f"{len(architecture.get('context', []))}"),
    ]
    return rows + [
        (label.replace("_", " "), str(value))
        for label, value in architecture.items()
        if label != "context" and not isinstance(value, dict | list)
    ]


def _flat(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (_LABELS.get(key, key.replace("_", " ")), _text(value))
        for key, value in provenance.items()
        if value is not None
    ]


def _text(value: Any) -> str:
    """A value of the provenance as people write it."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
