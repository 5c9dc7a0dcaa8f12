"""Other lossless codecs, measured on the same voxels.

All run on one thread, so that their seconds compare. Image codecs code each slice as an image of
its own, which is how they are used. `peers` is the short list, all of it from the `imagecodecs`
package (the extra `bench`). `all_peers` adds slow codecs, and those from the package `tomoz` and
the program `ffmpeg` where these are installed. `missing_peers` names those that are not.
"""

from __future__ import annotations

import dataclasses
import functools
import lzma
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxslice.bench import peer_programs
from jaxslice.core.errors import MissingExtraError

_TOMOZ = ("tomoz", "tomoz, slices")
_WARM_UP_VOXELS = 64


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
    """The result of one peer on one volume.

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
    """The codecs to compare with in a minute, from the most widespread to the most recent.

    Raises:
      MissingExtraError: imagecodecs is not installed.
    """
    imagecodecs = _load_imagecodecs()

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
        jpeg_xl(7),
        Peer(
            "zstd -19",
            lambda volume: imagecodecs.zstd_encode(
                np.ascontiguousarray(volume).tobytes(), level=19
            ),
            lambda data: np.frombuffer(imagecodecs.zstd_decode(data), np.uint8),
            whole_volume=True,
        ),
    ]


def all_peers() -> list[Peer]:
    """All codecs to compare with that are installed: those of `peers`, then the others.

    Raises:
      MissingExtraError: imagecodecs is not installed.
    """
    xz = Peer(
        "xz -9e",
        # The format of .xz files, with the preset of `xz -9e`.
        lambda volume: lzma.compress(
            np.ascontiguousarray(volume).tobytes(), preset=9 | lzma.PRESET_EXTREME
        ),
        lambda data: np.frombuffer(lzma.decompress(data), np.uint8),
        whole_volume=True,
    )
    optional, _ = _optional_peers()
    return [*peers(), jpeg_xl(9), xz, *optional]


def missing_peers() -> dict[str, str]:
    """The peers that are not installed, by name, with the package to install."""
    _, missing = _optional_peers()
    return missing


def jpeg_xl(effort: int) -> Peer:
    """JPEG-XL at an effort of 1 to 9.

    Raises:
      MissingExtraError: imagecodecs is not installed.
    """
    imagecodecs = _load_imagecodecs()

    return Peer(
        f"JPEG-XL e{effort}",
        lambda image: imagecodecs.jpegxl_encode(image, lossless=True, effort=effort, numthreads=1),
        lambda data: imagecodecs.jpegxl_decode(data, numthreads=1),
    )


def _load_imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError:
        raise MissingExtraError(
            "Comparing with other codecs needs imagecodecs: pip install 'jaxslice[bench]'."
        ) from None
    return imagecodecs


def _optional_peers() -> tuple[list[Peer], dict[str, str]]:
    """The installed peers from tomoz and ffmpeg, and the missing ones with the reason."""
    found = _tomoz_peers()
    missing: dict[str, str] = {}
    if not found:
        missing |= {name: "missing: needs the package tomoz: pip install tomoz" for name in _TOMOZ}
    programs = peer_programs.find_programs()
    encoders = peer_programs.find_encoders(programs)
    for codec in peer_programs.VIDEO_CODECS:
        if codec.encoder in encoders:
            program = encoders[codec.encoder]
            encode = functools.partial(peer_programs.encode_video, program, codec)
            decode = functools.partial(peer_programs.decode_video, program, codec)
            found.append(Peer(codec.name, encode, decode, whole_volume=True))
        elif programs:
            missing[codec.name] = f"missing: got {programs}, none with the encoder {codec.encoder}"
        else:
            missing[codec.name] = "missing: needs the program ffmpeg: pip install imageio-ffmpeg"
    return found, missing


def _tomoz_peers() -> list[Peer]:
    try:
        import tomoz
    except ImportError:
        return []

    def encode(voxels: np.ndarray) -> bytes:
        # Slabs and stripes as large as they get, which saves 0.1 % at the price of random access.
        return tomoz.encode(voxels, slab=4096, stripe=4096, threads=1)

    def decode(data: bytes | bytearray) -> np.ndarray:
        return tomoz.decode(bytes(data), threads=1)

    volume, slices = _TOMOZ
    return [
        Peer(volume, encode, lambda data: decode(data).ravel(), whole_volume=True),
        # Slice by slice is better where slices have little in common, or grey levels of their own.
        Peer(slices, encode, lambda data: decode(data)[0]),
    ]


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
        # Packages load a codec on its first use; that is not the codec's time.
        few = parts[0][:1] if peer.whole_volume else parts[0]
        peer.decode(peer.encode(np.zeros_like(few[..., :_WARM_UP_VOXELS, :_WARM_UP_VOXELS])))
        begin = time.perf_counter()
        coded = [peer.encode(part) for part in parts]
        middle = time.perf_counter()
        decoded = [peer.decode(data) for data in coded]
        end = time.perf_counter()
    except (ImportError, RuntimeError, ValueError) as error:  # what the codecs raise
        note = f"cannot code slices of {volume.shape[1]} x {volume.shape[2]} voxels: {error}"
        return _failed(peer.name, note)
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


def seconds_together(
    peer: Peer, volume: np.ndarray, threads: int, passes: int = 1
) -> tuple[float, float]:
    """Seconds of encoding and of decoding a volume, its slices spread over threads.

    Args:
      peer: the codec, one that takes slices.
      volume: uint8 [z,y,x], on which `measure_peer` succeeded.
      threads: that run at the same time.
      passes: over the volume, of which the quickest counts.
    """
    parts = [np.ascontiguousarray(part) for part in volume]
    encode_seconds = decode_seconds = math.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(passes):
            begin = time.perf_counter()
            coded = list(pool.map(peer.encode, parts))
            middle = time.perf_counter()
            list(pool.map(peer.decode, coded))
            end = time.perf_counter()
            encode_seconds = min(encode_seconds, middle - begin)
            decode_seconds = min(decode_seconds, end - middle)
    return encode_seconds, decode_seconds


def _failed(name: str, note: str) -> PeerResult:
    return PeerResult(name, 0, math.nan, math.nan, math.nan, False, note)


def _same(part: np.ndarray, back: np.ndarray, flat: bool) -> bool:
    expected = part.ravel() if flat else part
    return back.dtype == np.uint8 and np.array_equal(expected, back)
