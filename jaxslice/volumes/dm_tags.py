"""The arrays of DM3 and DM4 files of Gatan's DigitalMicrograph, whose tags ncempy reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.location import one_line
from jaxslice.volumes.extras import require
from jaxslice.volumes.sources import nm_of

SUFFIXES = (".dm3", ".dm4")

_DTYPES = {1: "<i2", 2: "<f4", 6: "|u1", 7: "<i4", 9: "|i1", 10: "<u2", 11: "<u4", 12: "<f8"}
"""NumPy's name of each of the file's types of pixels that are plain numbers."""

_THUMBNAIL = 23
"""Type of the coloured picture that most files begin with."""


@dataclasses.dataclass(frozen=True)
class DmArray:
    """An array in a file.

    Attributes:
      shape: slowest axis first; at least two axes.
      dtype: of the pixels.
      first_byte: where it begins; it lies there without gaps.
      sizes_nm: z,y,x; None for each that is not known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    first_byte: int
    sizes_nm: list[float | None]


def array_of(path: Path, dataset: str | None = None) -> DmArray:
    """Finds the array of a file, which has to be whole.

    Args:
      path: of the file.
      dataset: its number, where there are several beside the thumbnail.

    Raises:
      UsageError: this is no DM file, or there are several arrays and none is chosen.
      SourceDataError: the file is cut short.
      MissingExtraError: ncempy is not installed.
    """
    dm = require("ncempy.io.dm")
    try:
        with dm.fileDM(path, on_memory=False) as tags:
            number = _chosen(path, tags, dataset)
            found = DmArray(
                _shape(tags, number), _dtype(path, int(tags.dataType[number])),
                int(tags.dataOffset[number]), _sizes(tags, number),
            )  # fmt: skip
    except UsageError:
        raise
    except Exception as error:  # The library raises whatever a damaged tag leads to.
        raise UsageError(f"Cannot read {str(path)!r} as a DM file: {one_line(error)}.") from error
    got = path.stat().st_size
    expected = found.first_byte + int(np.prod(found.shape, dtype=object)) * found.dtype.itemsize
    if got < expected:
        raise SourceDataError(f"{str(path)!r} is cut short: got {got} bytes, expected {expected}.")
    return found


def read_picture(path: Path) -> np.ndarray:
    """The pixels [y, x] of a file that holds one picture.

    Raises:
      UsageError, SourceDataError, MissingExtraError: as `array_of`; or it holds several pictures.
    """
    found = array_of(path)
    if len(found.shape) > 2 and found.shape[:-2] != (1,) * (len(found.shape) - 2):
        raise UsageError(f"Got {str(path)!r} of shape {found.shape}, expected one picture.")
    data = np.memmap(path, found.dtype, "r", found.first_byte, found.shape[-2:])
    return data.astype(found.dtype.newbyteorder("="))


def _chosen(path: Path, tags: Any, dataset: str | None) -> int:
    numbers = [str(n) for n, kind in enumerate(tags.dataType) if kind != _THUMBNAIL]
    if dataset is None and len(numbers) == 1:
        return int(numbers[0])
    if dataset in numbers:
        return int(dataset)
    raise UsageError(
        f"Got the dataset {dataset!r} of {str(path)!r}, expected one of its {len(numbers)} arrays: "
        f"{', '.join(numbers) or 'it has none'}."
    )


def _shape(tags: Any, number: int) -> tuple[int, ...]:
    sizes = (tags.xSize, tags.ySize, tags.zSize, tags.zSize2)
    axes = max(2, int(tags.dataShape[number]))
    return tuple(int(size[number]) for size in sizes[:axes])[::-1]


def _dtype(path: Path, kind: int) -> np.dtype:
    if kind not in _DTYPES:
        raise UsageError(
            f"Got {str(path)!r} with pixels of DM type {kind}, expected plain numbers."
        )
    return np.dtype(_DTYPES[kind])


def _sizes(tags: Any, number: int) -> list[float | None]:
    axes, before = int(tags.dataShape[number]), int(sum(tags.dataShape[:number]))
    scales = list(tags.scale[before : before + axes])[:3]
    units = list(tags.scaleUnit[before : before + axes])[:3]
    if len(scales) != len(units):
        return [None] * 3
    # Of single precision in the file: 0.0045 is meant to be just that.
    known = [nm_of(float(f"{s:.7g}"), str(u)) for s, u in zip(scales, units, strict=True)]
    return (known + [None] * 3)[:3][::-1]
