"""The lossless codecs that anyone can install today, measured on the same voxels.

All of them come from the `imagecodecs` package (the extra `bench`) and run on one thread, so that
seconds compare. Image codecs code every slice as an image of its own, which is how they are used.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from jaxslice.errors import MissingExtraError, UsageError


@dataclasses.dataclass(frozen=True)
class Peer:
    """One codec, with the settings that it is measured at.

    Attributes:
      name: as shown in tables.
      encode: bytes of a uint8 array: of one slice [y,x], or of a volume where `whole_volume`.
      decode: the inverse of `encode`, but flat where `whole_volume`, as such bytes hold no shape.
      whole_volume: whether the codec takes a volume at once rather than slice by slice.
    """

    name: str
    encode: Callable[[np.ndarray], bytes | bytearray]
    decode: Callable[[bytes | bytearray], np.ndarray]
    whole_volume: bool = False


@dataclasses.dataclass(frozen=True)
class PeerResult:
    """What one peer made of one volume.

    Attributes:
      name: of the peer.
      compressed_bytes: of all slices together, 0 where the peer failed.
      bits_per_voxel: 8 * compressed_bytes / voxels, NaN where the peer failed.
      encode_seconds: NaN where the peer failed.
      decode_seconds: NaN where the peer failed.
      lossless: whether decoding gave back every voxel.
      note: empty, or why the peer failed.
    """

    name: str
    compressed_bytes: int
    bits_per_voxel: float
    encode_seconds: float
    decode_seconds: float
    lossless: bool
    note: str = ""


def peers() -> list[Peer]:
    """The codecs to compare with, from the most widespread to the most recent.

    Raises:
      MissingExtraError: imagecodecs is not installed.
    """
    try:
        import imagecodecs
    except ImportError:
        raise MissingExtraError(
            "Comparing with other codecs needs imagecodecs: pip install 'jaxslice[bench]'."
        ) from None

    def encode_webp(image: np.ndarray) -> bytes | bytearray:
        # WebP knows only colour. Grey in the green channel alone costs the same as in all three,
        # less a few bytes, since WebP codes red and blue as differences to green.
        colour = np.zeros((*image.shape, 3), np.uint8)
        colour[..., 1] = image
        return imagecodecs.webp_encode(colour, lossless=True, numthreads=1)

    def encode_png(image: np.ndarray) -> bytes | bytearray:
        # What libpng does when left alone: zlib level 6 and, as its rows are filtered, zlib's
        # strategy for filtered data; levels 7 to 9 save nothing on EM.
        return imagecodecs.png_encode(image, level=6, strategy=imagecodecs.PNG.STRATEGY.FILTERED)

    return [
        Peer("PNG", encode_png, imagecodecs.png_decode),
        # zlib's general strategy, which many programs use, costs up to 7 % more on EM.
        Peer("PNG, general", imagecodecs.png_encode, imagecodecs.png_decode),
        Peer("JPEG-LS", imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        Peer("WebP", encode_webp, lambda data: imagecodecs.webp_decode(data)[..., 1]),
        Peer(
            "JPEG 2000",
            lambda image: imagecodecs.jpeg2k_encode(
                image, codecformat="j2k", reversible=True, numthreads=1
            ),
            lambda data: imagecodecs.jpeg2k_decode(data, numthreads=1),
        ),
        Peer(
            "JPEG-XL e7",
            lambda image: imagecodecs.jpegxl_encode(image, lossless=True, effort=7, numthreads=1),
            lambda data: imagecodecs.jpegxl_decode(data, numthreads=1),
        ),
        Peer(
            "zstd -19",
            lambda volume: imagecodecs.zstd_encode(
                np.ascontiguousarray(volume).tobytes(), level=19
            ),
            lambda data: np.frombuffer(imagecodecs.zstd_decode(data), np.uint8),
            whole_volume=True,
        ),
    ]


def measure_peers(volume: np.ndarray, names: Sequence[str] | None = None) -> list[PeerResult]:
    """Encodes a volume with every peer, decodes it again and compares.

    A peer that cannot code this volume (an image too large for its format, say) yields a result
    with a note; it never stops the others.

    Args:
      volume: uint8 [z,y,x], at least one voxel.
      names: the peers to run, in this order; all of them if None.

    Returns:
      One result for each peer.

    Raises:
      MissingExtraError: imagecodecs is not installed.
      UsageError: the volume is of another kind, or a name is unknown.
    """
    if volume.ndim != 3 or volume.dtype != np.uint8 or volume.size == 0:
        raise UsageError(
            f"Got a volume of shape {volume.shape} and type {volume.dtype}, "
            "expected uint8 voxels along z, y and x."
        )
    known = {peer.name: peer for peer in peers()}
    wanted = list(known) if names is None else list(names)
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(f"Got the unknown codecs {unknown}, expected some of {list(known)}.")
    return [measure_peer(known[name], volume) for name in wanted]


def measure_peer(peer: Peer, volume: np.ndarray) -> PeerResult:
    """Encodes a volume with one peer, decodes it again and compares.

    Args:
      peer: the codec.
      volume: uint8 [z,y,x], at least one voxel.

    Returns:
      The result, with a note where the peer refused the volume.
    """
    parts = [volume] if peer.whole_volume else [np.ascontiguousarray(part) for part in volume]
    try:
        # imagecodecs loads a codec on its first use; that is not the codec's time.
        peer.decode(peer.encode(np.zeros_like(parts[0][..., :1, :1])))
        begin = time.perf_counter()
        coded = [peer.encode(part) for part in parts]
        middle = time.perf_counter()
        decoded = [peer.decode(data) for data in coded]
        end = time.perf_counter()
    except (ImportError, RuntimeError, ValueError) as error:  # what imagecodecs raises
        note = f"cannot code slices of {volume.shape[1]} x {volume.shape[2]} voxels: {error}"
        return PeerResult(peer.name, 0, math.nan, math.nan, math.nan, False, note)
    compressed_bytes = sum(map(len, coded))
    lossless = all(
        _same(part, back, peer.whole_volume) for part, back in zip(parts, decoded, strict=True)
    )
    return PeerResult(
        name=peer.name,
        compressed_bytes=compressed_bytes,
        bits_per_voxel=8 * compressed_bytes / volume.size,
        encode_seconds=middle - begin,
        decode_seconds=end - middle,
        lossless=lossless,
        note="" if lossless else "decoding did not give back the same voxels",
    )


def _same(part: np.ndarray, back: np.ndarray, flat: bool) -> bool:
    expected = part.ravel() if flat else part
    return back.dtype == np.uint8 and np.array_equal(expected, back)
