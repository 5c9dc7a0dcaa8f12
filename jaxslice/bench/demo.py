"""A demonstration: a volume is compressed, verified, compared with other codecs and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.archive.model import model_of
from jaxslice.archive.report import Report
from jaxslice.archive.store import open_archive
from jaxslice.bench import figures, peers
from jaxslice.bench.explain import explain_slice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.bench.writable import check_folder
from jaxslice.core.box import Box, Triple
from jaxslice.core.progress import Progress
from jaxslice.jobs.compress import compress
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.verify import verify
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.source import Source, open_source

SYNTHETIC_SHAPE: Triple = (64, 256, 512)
SYNTHETIC_VOXEL_NM = (8.0, 8.0, 8.0)
SHOWN_SHAPE: Triple = (64, 512, 512)
"""The largest part of a given volume that the demo uses."""

TRAINING_STEPS = 1500


def demo(
    output: str, source: str | None = None, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Compresses a volume with jaxslice and with its peers, and draws the results.

    Args:
      output: folder for the volume, the archive and the pictures; created if missing.
      source: a volume to use instead of a synthetic one; its first 64x512x512 voxels.
      seed: of the synthetic volume and of training.
      progress: called with the part, the steps done and their total.

    Returns:
      The report as a JSON object, with the peers' results and the pictures' paths.

    Raises:
      UsageError: the source or the folder cannot be used.
    """
    notify = progress or (lambda part, done, total: None)
    folder = Path(output)
    check_folder(folder)
    if source is None:
        source = str(folder / "volume.precomputed")
        notify("make a volume", 0, 1)
        write_synthetic(source, seed, SYNTHETIC_SHAPE)
        notify("make a volume", 1, 1)
    volume = open_source(source)
    shape = tuple(min(n, most) for n, most in zip(volume.shape, SHOWN_SHAPE, strict=True))
    box = Box.of_shape((shape[0], shape[1], shape[2]), volume.box.start)

    archive = str(folder / "archive.zarr")
    options = CompressOptions(
        bbox=box, seed=seed, training_steps=TRAINING_STEPS, overwrite=True, verify="none"
    )
    packed = compress(source, archive, options, progress)
    checked = verify(archive, source=source, progress=progress)
    voxels = volume.read(box)
    rows = [_our_row(packed, checked), *_peer_rows(voxels, notify)]
    rows.sort(key=lambda row: row["bits_per_voxel"])
    pictures = _draw(folder, archive, voxels, volume, rows)
    return {
        **packed.to_json(),
        "source": source,
        "box": str(box),
        "verified": checked.details["verified"],
        "peers": rows,
        "pictures": pictures,
    }


def write_synthetic(path: str, seed: int, shape: Triple) -> None:
    """Writes a synthetic volume as a precomputed one, over one that is there."""
    voxels = synthetic_volume(shape, seed)
    box = Box.of_shape(shape)
    with create_destination(path, box, SYNTHETIC_VOXEL_NM, overwrite=True) as written:
        written.write(box, voxels)


def _our_row(packed: Report, checked: Report) -> dict[str, Any]:
    megabytes = packed.raw_bytes / 1e6
    return {
        "name": "jaxslice, effort 1",
        "bits_per_voxel": packed.bits_per_voxel,
        "encode_mb_per_s": megabytes / packed.seconds["encode"],
        "decode_mb_per_s": megabytes / checked.seconds["decode"],
        "lossless": True,
    }


def _peer_rows(voxels: np.ndarray, notify: Progress) -> list[dict[str, Any]]:
    megabytes = voxels.size / 1e6
    rows = []
    every = peers.peers()
    for index, peer in enumerate(every):
        result = peers.measure_peer(peer, voxels)
        notify("peers", index + 1, len(every))
        if result.note:
            continue
        rows.append(
            {
                "name": result.name,
                "bits_per_voxel": result.bits_per_voxel,
                "encode_mb_per_s": megabytes / result.encode_seconds,
                "decode_mb_per_s": megabytes / result.decode_seconds,
                "lossless": result.lossless,
            }
        )
    return rows


def _draw(
    folder: Path, archive: str, voxels: np.ndarray, volume: Source, rows: list[dict[str, Any]]
) -> list[str]:
    opened = open_archive(archive)
    depth, height, width = opened.block_shape
    block = voxels[:depth, :height, :width]
    z = depth // 2
    prediction, bits = explain_slice(block, z, model_of(opened.configuration))
    cut, chart = folder / "figure1.png", folder / "figure2.png"
    figures.figure1(
        cut, block[z], prediction, bits,
        title=f"Slice {z}: what was recorded, what was expected, and how surely",
        voxel_size_nm=volume.placement.voxel_size_nm[2],
    )  # fmt: skip
    rates = {row["name"]: row["bits_per_voxel"] for row in rows}
    figures.figure2(chart, rates, title="Bits per voxel, lossless, everything counted")
    return [str(cut), str(chart)]


__all__ = ["demo"]
