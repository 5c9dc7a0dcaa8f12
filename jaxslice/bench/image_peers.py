"""Peers that code each slice as an image of its own, which is how image codecs are used.

All of them come from the package `imagecodecs`, run on one thread, and raise MissingExtraError
where it is not installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxslice.bench.peer import Peer, load_package


def png() -> Peer:
    """PNG as libpng makes it when left alone."""
    imagecodecs = _imagecodecs()

    def encode(image: np.ndarray) -> bytes | bytearray:
        # zlib level 6 and, as the rows are filtered, zlib's strategy for filtered data. Levels 7
        # to 9 save nothing on EM.
        return imagecodecs.png_encode(image, level=6, strategy=imagecodecs.PNG.STRATEGY.FILTERED)

    return Peer("PNG", encode, imagecodecs.png_decode, sixteen_bits=True)


def png_general() -> Peer:
    """PNG with zlib's general strategy, which many programs use; on EM it is larger."""
    imagecodecs = _imagecodecs()
    return Peer("PNG, general", imagecodecs.png_encode, imagecodecs.png_decode, sixteen_bits=True)


def jpeg_ls() -> Peer:
    """JPEG-LS by CharLS."""
    imagecodecs = _imagecodecs()
    return Peer("JPEG-LS", imagecodecs.jpegls_encode, imagecodecs.jpegls_decode, sixteen_bits=True)


def webp() -> Peer:
    """Lossless WebP."""
    imagecodecs = _imagecodecs()

    def encode(image: np.ndarray) -> bytes | bytearray:
        # WebP knows only colour. Grey in the green channel alone costs the same as in all three,
        # less a few bytes, since WebP codes red and blue as differences to green.
        colour = np.zeros((*image.shape, 3), np.uint8)
        colour[..., 1] = image
        return imagecodecs.webp_encode(colour, lossless=True, numthreads=1)

    return Peer("WebP", encode, lambda data: imagecodecs.webp_decode(data)[..., 1])


def jpeg_2000() -> Peer:
    """Reversible JPEG 2000 by OpenJPEG, without a file format around it."""
    imagecodecs = _imagecodecs()
    return Peer(
        "JPEG 2000",
        lambda image: imagecodecs.jpeg2k_encode(
            image, codecformat="j2k", reversible=True, numthreads=1
        ),
        lambda data: imagecodecs.jpeg2k_decode(data, numthreads=1),
        sixteen_bits=True,
    )


def htj2k() -> Peer:
    """Reversible High-Throughput JPEG 2000 by OpenJPH."""
    imagecodecs = _imagecodecs()
    return Peer(
        "HTJ2K",
        lambda image: imagecodecs.htj2k_encode(image, reversible=True),
        imagecodecs.htj2k_decode,
        sixteen_bits=True,
    )


def jpeg_xl(effort: int) -> Peer:
    """JPEG-XL at an effort of 1 to 9."""
    imagecodecs = _imagecodecs()
    return Peer(
        f"JPEG-XL e{effort}",
        lambda image: imagecodecs.jpegxl_encode(image, lossless=True, effort=effort, numthreads=1),
        lambda data: imagecodecs.jpegxl_decode(data, numthreads=1),
        sixteen_bits=True,
    )


def _imagecodecs() -> Any:
    return load_package("imagecodecs", "bench")
