"""Whether voxels were JPEG once: their 8x8 DCT coefficients are then multiples of a table's steps.

JPEG divides each coefficient of an 8x8 block by a step and rounds it. After decoding, coefficients
lie at multiples of the steps, but for the rounding of the voxels, which moves a coefficient by 0.29
on average (ITU-T T.81, annex A.3.3 and K.1).
"""

from __future__ import annotations

import itertools

import numpy as np

LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""Steps of quality 50, table K.1 of the standard; row is the vertical frequency."""

QUALITIES = range(10, 98)
"""Those that are looked for: above, all steps are so small that nothing can be seen."""

_LEAST_STEP = 4
_MOST_ERROR = 0.6
"""Of coefficients, root mean square. Without JPEG it is a step by the square root of 12."""

_LEAST_COEFFICIENTS = 60
"""That are not zero, in all: fewer prove nothing."""

_LEAST_DIFFERENT = 16
"""Among them, by their frequency and size."""

_BLOCKS, _FEW_BLOCKS = 240, 24
"""Most 8x8 blocks of a picture that are looked at, and how many rule out most qualities."""

_DOUBT = 0.9
"""Error of a few blocks from which on a quality is ruled out."""


def steps(quality: int) -> np.ndarray:
    """The table of a quality, as libjpeg scales it: int64 [8, 8]."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((LUMINANCE * scale + 50) // 100, 1, 255)


def _table(quality: int) -> np.ndarray:
    """The steps as float32; that of the mean, which is not looked at, is 1."""
    table = steps(quality).astype(np.float32)
    table[0, 0] = 1
    return table


_TABLES = np.stack([_table(quality) for quality in QUALITIES])


def jpeg_quality(picture: np.ndarray) -> int | None:
    """The quality of the JPEG that a picture was once; None if it does not look like one.

    Args:
      picture: uint8 [y, x]; its 8x8 grid may begin anywhere.
    """
    for dy, dx in itertools.product(range(8), range(8)):
        coefficients = _coefficients(picture[dy:, dx:])
        if len(coefficients):
            found = _quality_of(coefficients)
            if found is not None:
                return found
    return None


def _quality_of(coefficients: np.ndarray) -> int | None:
    # Multiples of 8 are multiples of 4 too: the largest steps that fit are the true ones. Tables of
    # neighbouring qualities have many steps in common, and the one that fits best is meant.
    for quality in _likely(coefficients):
        if _error(coefficients, quality) < _MOST_ERROR:
            return min(range(quality, quality + 4), key=lambda q: _error(coefficients, q))
    return None


def _likely(coefficients: np.ndarray) -> list[int]:
    """Qualities that a few blocks do not rule out: most of the time, none."""
    few = coefficients[:: max(1, len(coefficients) // _FEW_BLOCKS), None]
    used = _TABLES >= _LEAST_STEP
    squares = (few - np.rint(few / _TABLES) * _TABLES) ** 2
    errors = np.sqrt((squares * used).sum((0, 2, 3)) / (len(few) * used.sum((1, 2))))
    return [quality for quality, error in zip(QUALITIES, errors, strict=True) if error < _DOUBT]


def _error(coefficients: np.ndarray, quality: int) -> float:
    """How far coefficients are from multiples of the steps; infinite where that proves nothing."""
    table = _table(quality)
    used = table >= _LEAST_STEP
    values, step = coefficients[:, used], table[used]
    multiples = np.rint(values / step)
    nonzero = multiples != 0
    if nonzero.sum() < _LEAST_COEFFICIENTS:
        return np.inf
    squares = (values - multiples * step) ** 2
    error = float(np.sqrt(max(squares.mean(), squares[nonzero].mean())))
    if error < _MOST_ERROR:
        # A pattern that repeats itself fits by chance, with few different coefficients.
        found = np.stack([np.nonzero(nonzero)[1], multiples[nonzero]])
        if np.unique(found, axis=1).shape[1] < _LEAST_DIFFERENT:
            return np.inf
    return error


def _coefficients(picture: np.ndarray) -> np.ndarray:
    """Of the 8x8 blocks that lie wholly inside: float32 [block, 8, 8].

    Blocks that touch black or white are left out: there JPEG's results were cut off.
    """
    height, width = (n // 8 * 8 for n in picture.shape)
    cut = picture[:height, :width].reshape(height // 8, 8, width // 8, 8)
    blocks = cut.transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    if len(blocks) == 0:
        return blocks.astype(np.float32)
    inside = (blocks.min(axis=(1, 2)) > 0) & (blocks.max(axis=(1, 2)) < 255)
    blocks = blocks[inside][:: max(1, inside.sum() // _BLOCKS)]
    return (_DCT @ (blocks.astype(np.float64) - 128) @ _DCT.T).astype(np.float32)


def _dct_matrix() -> np.ndarray:
    frequency, place = np.mgrid[:8, :8]
    matrix = np.sqrt(2 / 8) * np.cos((2 * place + 1) * frequency * np.pi / 16)
    matrix[0] = np.sqrt(1 / 8)
    return matrix


_DCT = _dct_matrix()
