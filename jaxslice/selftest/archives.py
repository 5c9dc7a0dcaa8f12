"""Checks of a self-test that work on whole archives."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.progress import Stopwatch, no_progress
from jaxslice.core.types import Volume
from jaxslice.jobs.compress import compress
from jaxslice.jobs.decoding import decode_all, prepare_decoder
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.task import Worker
from jaxslice.jobs.verify import verify
from jaxslice.selftest.report import CheckFailed

_SHAPE, _BLOCK_SHAPE = (8, 72, 96), (4, 72, 48)


@functools.cache
def _tissue() -> np.ndarray:
    return synthetic_volume(_SHAPE, seed=1)


VOLUMES: dict[str, tuple[Callable[[], np.ndarray], int | str]] = {
    "effort 0": (_tissue, 0),
    "effort fast": (_tissue, "fast"),
    "16 bits": (lambda: _tissue().astype(np.uint16) * np.uint16(16) + np.uint16(1000), 0),
}
"""Name of a volume -> its voxels, and the effort that it is compressed with."""


def decodes_to(path: Path, checksum: str, engine: str) -> str:
    """Decodes an archive, and compares the SHA-256 of its voxels."""
    archive = open_archive(path)
    voxels = np.zeros(archive.shape, archive.dtype)

    def keep(index: Triple, block: Volume, worker: Worker) -> None:
        box = archive.box_of(index)
        local = box.relative_to(archive.box.start)
        voxels[local.slices] = block[Box.of_shape(box.shape).slices]

    watch = Stopwatch()
    batch, executor = prepare_decoder(archive, None, None, watch, engine)
    decode_all(archive, None, keep, executor, batch, watch, no_progress, engine)
    if hashlib.sha256(voxels.tobytes()).hexdigest() != checksum:
        raise CheckFailed("it decodes to other voxels than it was made of")
    return ""


def round_trip(name: str, place: Path, engine: str) -> str:
    """Compresses a synthetic volume, and compares every voxel."""
    make, effort = VOLUMES[name]
    options = CompressOptions(
        effort=effort, block_shape=_BLOCK_SHAPE, engine=engine, overwrite=True, workers=2
    )
    report = compress(make(), place, options)
    verify(place, source=make(), engine=engine)
    return f"{8 * report.compressed_bytes / make().size:.2f} bits per voxel"


def have_the_same_bytes(places: Sequence[Path]) -> str:
    """Compares archives that several engines wrote."""
    seals = [open_archive(place).seal for place in places]
    # The metadata have the names of the archives.
    if len({seal.layers for seal in seals if seal is not None}) != 1 or None in seals:
        raise CheckFailed("the engines wrote different blocks of the same volume")
    return ""


def _flip(archive: Path) -> None:
    path = archive / "0" / "c" / "0" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def _swap(archive: Path) -> None:
    paths = [archive / "0" / "c" / "0" / "0" / x for x in "01"]
    first, second = (path.read_bytes() for path in paths)
    paths[0].write_bytes(second)
    paths[1].write_bytes(first)


def _remove(archive: Path) -> None:
    (archive / "0" / "c" / "1" / "0" / "0").unlink()


def _truncate(archive: Path) -> None:
    path = archive / "0" / "c" / "1" / "0" / "1"
    path.write_bytes(path.read_bytes()[:-7])


def _edit(archive: Path) -> None:
    path = archive / "zarr.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "one flipped bit": _flip,
    "two blocks exchanged": _swap,
    "a block lost": _remove,
    "a block cut short": _truncate,
    "metadata changed": _edit,
}
"""What is done to a copy of an archive."""


def notices(name: str, whole: Path, copy: Path) -> str:
    """Damages a copy of an archive; `verify` must refuse that."""
    shutil.copytree(whole, copy)
    DAMAGE[name](copy)
    try:
        verify(copy)
    except FormatError as error:
        return type(error).__name__
    raise CheckFailed("the archive was changed, and verify says that it is whole")
