"""Gathers what stands on the page: from metadata, some blocks, and a crop for the peers."""

from __future__ import annotations

import datetime
import math

import numpy as np

from jaxslice.archive.lazy_volume import LazyVolume, open_volume
from jaxslice.archive.model import model_of
from jaxslice.archive.report import BlockSize, blocks_of, info
from jaxslice.bench import provenance
from jaxslice.bench.explain import can_explain, explain_slice, spent_bits
from jaxslice.bench.peers import measure_peer, peers
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.network import Model
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError, MissingExtraError
from jaxslice.core.progress import Progress, no_progress
from jaxslice.jobs.diff import diff
from jaxslice.jobs.verify import verify
from jaxslice.report.contents import (
    Check,
    Contents,
    HeatMap,
    Plane,
    Prediction,
    Rate,
    SliceRate,
)
from jaxslice.storage.location import public_name

PICTURE_EDGE = 512
"""Most voxels that a picture shows along an axis, around the middle."""

CROP_SHAPE: Triple = (16, 512, 512)
"""Most voxels of the crop for the peers."""

MIDDLE_BLOCKS, SLICES_EACH = 8, 6
"""Of the column of blocks in the middle: how many are looked at, and slices in each."""

TILE = 16
"""Edge of a cell of the finer heat maps, in voxels."""


def contents_of(
    place: str,
    *,
    with_peers: bool = True,
    check_all: bool = False,
    source: str | None = None,
    progress: Progress = no_progress,
) -> Contents:
    """Everything on the page about an archive. Its cost does not grow with the volume.

    Args:
      place: of the archive.
      with_peers: whether to measure other codecs on a crop.
      check_all: whether to decode every block.
      source: a volume to compare every voxel with.
      progress: called before each part of the work.

    Raises:
      UsageError: there is no archive, or no such source.
      FormatError: its metadata or a block that is shown are damaged.
    """
    parts = iter(range(5))

    def begin(part: str) -> None:
        progress(part, next(parts), 5)

    begin("read")
    volume = open_volume(place)
    archive, report, blocks = volume.archive, info(place), blocks_of(volume.archive)
    planes = [_plane(volume, axis) for axis in range(3)]
    notes: list[str] = []
    prediction, fine_maps, slices = None, [], []
    begin("explain")
    model = model_of(archive.configuration)
    if can_explain(model):
        prediction = _prediction(volume, model)
        fine_maps, slices = _fine_maps(volume, model)
    else:
        notes.append("Predictions are shown for networks of 8-bit voxels only.")
    begin("peers")
    rates, crop_shape = [], None
    if with_peers:
        crop = _crop(volume)
        rates, crop_shape = _rates(crop, model, notes), crop.shape
    else:
        notes.append("Other codecs were not asked for.")
    begin("check")
    checks = _checks(place, volume, check_all, source)
    begin("write")
    return Contents(
        name=public_name(place) or "volume",
        info=report,
        data_type=archive.dtype.name,
        planes=planes,
        prediction=prediction,
        block_maps=_block_maps(volume, blocks),
        fine_maps=fine_maps,
        blocks=blocks,
        slices=slices,
        crop_shape=crop_shape,
        rates=rates,
        checks=checks,
        notes=notes,
        made={
            "page made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
            "by": f"jaxslice {provenance.installed_version()}",
            "on": provenance.machine(),
        },
    )


def _middle(volume: LazyVolume, most: Triple) -> Box:
    """A box around the middle of a volume, in coordinates that begin at its corner."""
    sizes = [min(n, m) for n, m in zip(volume.shape, most, strict=True)]
    z, y, x = ((n - size) // 2 for n, size in zip(volume.shape, sizes, strict=True))
    return Box.of_shape((sizes[0], sizes[1], sizes[2]), (z, y, x))


def _stretch(volume: LazyVolume, axis: int) -> float:
    """How much higher than wide a pixel of a plane is."""
    sizes = list(volume.archive.placement.voxel_size_nm)
    del sizes[axis]
    return sizes[0] / sizes[1] if min(sizes) > 0 else 1.0


def _plane(volume: LazyVolume, axis: int) -> Plane:
    box = _middle(volume, (PICTURE_EDGE, PICTURE_EDGE, PICTURE_EDGE))
    index: list[int | slice] = list(box.slices)
    index[axis] = volume.shape[axis] // 2
    image = np.asarray(volume[tuple(index)])
    position = volume.archive.placement.offset_voxels[axis] + volume.shape[axis] // 2
    return Plane("zyx"[axis], position, image, _stretch(volume, axis))


def _middle_column(volume: LazyVolume) -> list[Triple]:
    """Indices of some blocks, evenly spaced along z, at the middle of y and x."""
    depth, height, width = volume.archive.grid_shape
    chosen = np.unique(np.linspace(0, depth - 1, MIDDLE_BLOCKS).round().astype(int))
    return [(int(z), height // 2, width // 2) for z in chosen]


def _voxels_of(volume: LazyVolume, index: Triple) -> np.ndarray:
    archive = volume.archive
    box = archive.box_of(index).relative_to(archive.placement.offset_voxels)
    return np.asarray(volume[box.slices])


def _prediction(volume: LazyVolume, model: Model) -> Prediction:
    column = _middle_column(volume)
    index = column[len(column) // 2]
    block = _voxels_of(volume, index)[:, :PICTURE_EDGE, :PICTURE_EDGE]
    z = len(block) // 2
    predicted, expected = explain_slice(block, z, model)
    position = volume.archive.box_of(index).start[0] + z
    return Prediction(position, block[z], predicted, expected, spent_bits(block, z, model))


def _fine_maps(volume: LazyVolume, model: Model) -> tuple[list[HeatMap], list[SliceRate]]:
    """Where bits are spent in the blocks of the middle, and the rates of the slices looked at."""
    slices: list[SliceRate] = []
    tiles: list[np.ndarray] = []
    for index in _middle_column(volume):
        block, start = _voxels_of(volume, index), volume.archive.box_of(index).start[0]
        steps = np.linspace(0, len(block) - 1, SLICES_EACH).round().astype(int)
        for z in np.unique(steps):
            bits = spent_bits(block, int(z), model)
            slices.append(SliceRate(start + int(z), round(float(bits.mean()), 4)))
            tiles.append(_tiled(bits))
    cells = np.stack(tiles)
    sizes = [size or 1.0 for size in volume.archive.placement.voxel_size_nm]
    apart = sizes[0] * volume.shape[0] / len(cells)
    maps = [
        HeatMap("seen along z (rows y, columns x)", cells.mean(0), sizes[1] / sizes[2]),
        HeatMap("seen along y (rows z, columns x)", cells.mean(1), apart / (TILE * sizes[2])),
        HeatMap("seen along x (rows z, columns y)", cells.mean(2), apart / (TILE * sizes[1])),
    ]
    return maps, slices


def _tiled(bits: np.ndarray) -> np.ndarray:
    """Means of tiles of a slice; those at the far edges are smaller."""
    rows, columns = np.arange(0, bits.shape[0], TILE), np.arange(0, bits.shape[1], TILE)
    totals = np.add.reduceat(np.add.reduceat(bits, rows, 0), columns, 1)
    counts = np.add.reduceat(np.add.reduceat(np.ones_like(bits), rows, 0), columns, 1)
    return totals / counts


def _block_maps(volume: LazyVolume, blocks: list[BlockSize]) -> list[HeatMap]:
    """The rates of all blocks, projected along each axis along which there are several."""
    grid = np.full(volume.archive.grid_shape, np.nan)
    for block in blocks:
        grid[block.block] = block.bits_per_voxel
    maps, edges = [], [n * (s or 1.0) for n, s in zip(
        volume.chunks, volume.archive.placement.voxel_size_nm, strict=True)]  # fmt: skip
    for axis in range(3):
        bits = grid.mean(axis)
        if bits.size > 1:
            rows, columns = (name for name in "zyx" if name != "zyx"[axis])
            high, wide = (edge for other, edge in enumerate(edges) if other != axis)
            title = f"seen along {'zyx'[axis]} (rows {rows}, columns {columns})"
            maps.append(HeatMap(title, bits, high / wide))
    return maps


def _crop(volume: LazyVolume) -> np.ndarray:
    return np.ascontiguousarray(volume[_middle(volume, CROP_SHAPE).slices])


def _rates(crop: np.ndarray, model: Model, notes: list[str]) -> list[Rate]:
    try:
        others = [peer for peer in peers() if peer.sixteen_bits or crop.dtype == np.uint8]
    except MissingExtraError as error:
        notes.append(f"Other codecs were not measured. {error}")
        return []
    results = [measure_peer(peer, crop) for peer in others]
    notes += [f"{found.name}: {found.note}" for found in results if found.note]
    rates = [
        Rate(found.name, found.bits_per_voxel)
        for found in results
        if found.lossless and math.isfinite(found.bits_per_voxel)
    ]
    (payload,) = encode_blocks([crop], model)
    rates.append(Rate("jaxslice", 8 * len(payload) / crop.size, ours=True))
    return sorted(rates, key=lambda rate: rate.bits_per_voxel)


def _checks(place: str, volume: LazyVolume, check_all: bool, source: str | None) -> list[Check]:
    archive = volume.archive
    checks = [
        Check("Metadata", True, "The metadata are whole, and of a version that can be read."),
        Check("Blocks", True, f"All {archive.num_blocks:,} blocks are there. Those shown on this "
              "page were decoded, and their checksums hold."),
    ]  # fmt: skip
    if check_all or source is not None:
        checks.append(_check_blocks(place))
    else:
        text = "Not every block was decoded for this page: `jaxslice verify` does so."
        checks.append(Check("Every block", None, text))
    if source is not None:
        found = diff(place, source).details
        text = f"Every voxel equals that of {public_name(source)}."
        if not found["equal"]:
            text = (
                f"{found['voxels_different']:,} voxels in {found['blocks_different']:,} blocks "
                f"differ from {public_name(source)}, by at most {found['largest_difference']}."
            )
        checks.append(Check("Source", found["equal"], text))
    return checks


def _check_blocks(place: str) -> Check:
    try:
        verify(place)
    except FormatError as error:
        return Check("Every block", False, str(error))
    return Check("Every block", True, "Every block was decoded, and its checksums hold.")
