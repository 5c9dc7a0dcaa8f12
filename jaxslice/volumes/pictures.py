"""Single pictures: PNG, JPEG, JPEG 2000, JPEG-XL, WebP by imagecodecs; TIFF by tifffile; DM."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.location import one_line
from jaxslice.volumes import dm_tags
from jaxslice.volumes.extras import require

TIFF_SUFFIXES = (".tif", ".tiff")
DECODERS = {
    ".png": "png_decode",
    ".jpg": "jpeg8_decode",
    ".jpeg": "jpeg8_decode",
    ".jp2": "jpeg2k_decode",
    ".j2k": "jpeg2k_decode",
    ".jxl": "jpegxl_decode",
    ".webp": "webp_decode",
    ".bmp": "bmp_decode",
}
SUFFIXES = (*TIFF_SUFFIXES, *dm_tags.SUFFIXES, *DECODERS)
LOSSY_SUFFIXES = (".jpg", ".jpeg")


def read_picture(path: Path) -> np.ndarray:
    """The pixels of a picture, [y, x] or [y, x, sample].

    Raises:
      SourceDataError: it is damaged, or no picture.
      MissingExtraError: the library that reads it is not installed.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in TIFF_SUFFIXES:
            return require("tifffile").imread(path, key=0)
        if suffix in dm_tags.SUFFIXES:
            return dm_tags.read_picture(path)
        decode = getattr(require("imagecodecs"), DECODERS[suffix])
        return np.asarray(decode(path.read_bytes()))
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceDataError(
            f"Cannot read the picture {str(path)!r}: {one_line(error)}."
        ) from error


def one_sample(place: str, picture: np.ndarray, channel: int | str | None) -> np.ndarray:
    """[y, x] of a picture that may have samples.

    Raises:
      UsageError: it has several, of which none is chosen.
    """
    if picture.ndim == 2:
        return picture
    if picture.ndim == 3:
        samples = picture.shape[2]
        if samples == 1 or channel is not None:
            index = int(channel or 0)
            if index < samples:
                return picture[..., index]
        raise UsageError(
            f"Got {place!r} with {samples} samples for each pixel, expected --channel from 0 to"
            f" {samples - 1}."
        )
    raise UsageError(f"Got {place!r} of shape {picture.shape}, expected a picture.")
