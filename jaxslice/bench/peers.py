"""Other lossless codecs, measured on the same voxels.

All run on one thread and are timed in CPU seconds, so that their seconds compare even where other
programs run. A codec is an entry of `_ENTRIES`: a function that makes the peer, or raises
MissingExtraError where what it needs is not installed. `peers` is the short list, all of it from
the package imagecodecs (the extra `bench`). `all_peers` adds the others that are installed
(the extra `peers`), and `missing_peers` says what the rest need.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxslice.bench import delta3d_peer, image_peers, peer_programs, volume_peers
from jaxslice.bench.image_peers import jpeg_xl
from jaxslice.bench.peer import Peer
from jaxslice.core.errors import MissingExtraError

_WARM_UP_VOXELS = 64

_QUICK: dict[str, Callable[[], Peer]] = {
    "PNG": image_peers.png,
    "PNG, general": image_peers.png_general,
    "JPEG-LS": image_peers.jpeg_ls,
    "WebP": image_peers.webp,
    "JPEG 2000": image_peers.jpeg_2000,
    "HTJ2K": image_peers.htj2k,
    "JPEG-XL e1": functools.partial(jpeg_xl, 1),
    "JPEG-XL e3": functools.partial(jpeg_xl, 3),
    "JPEG-XL e7": functools.partial(jpeg_xl, 7),
    "zstd -19": volume_peers.zstd,
}
"""From the most widespread to the most recent."""

_ENTRIES: dict[str, Callable[[], Peer]] = _QUICK | {
    "JPEG-XL e4": functools.partial(jpeg_xl, 4),
    "JPEG-XL e9": functools.partial(jpeg_xl, 9),
    "xz -9e": volume_peers.xz,
    "tomoz": functools.partial(volume_peers.tomoz, slices=False),
    "tomoz, slices": functools.partial(volume_peers.tomoz, slices=True),
    "vc-delta3d": functools.partial(delta3d_peer.delta3d, "delta"),
    "vc-delta3d lpc": functools.partial(delta3d_peer.delta3d, "lpc"),
    "OpenZL med": functools.partial(volume_peers.openzl, "med"),
    "OpenZL planar": functools.partial(volume_peers.openzl, "planar"),
    "Blosc2": functools.partial(volume_peers.blosc2, bitshuffle=False),
    "Blosc2, bitshuffle": functools.partial(volume_peers.blosc2, bitshuffle=True),
    **{
        codec.name: functools.partial(peer_programs.video, codec)
        for codec in peer_programs.VIDEO_CODECS
    },
}
"""By name of the peer, what makes it."""


@dataclasses.dataclass(frozen=True)
class PeerResult:
    """The result of one peer on one volume.

    Attributes:
      name: of the peer.
      compressed_bytes: of all slices together, 0 where the peer failed.
      bits_per_voxel: 8 * compressed_bytes / voxels, NaN where the peer failed.
      encode_seconds: CPU seconds, NaN where the peer failed.
      decode_seconds: CPU seconds, NaN where the peer failed.
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


def names() -> tuple[str, ...]:
    """Of all peers, installed or not."""
    return tuple(_ENTRIES)


def peer_named(name: str) -> Peer:
    """One peer.

    Raises:
      KeyError: there is none of that name.
      MissingExtraError: what it needs is not installed.
    """
    return _ENTRIES[name]()


def peers() -> list[Peer]:
    """The codecs to compare with in a minute.

    Raises:
      MissingExtraError: imagecodecs is not installed.
    """
    return [make() for make in _QUICK.values()]


def all_peers() -> list[Peer]:
    """All codecs to compare with that are installed: those of `peers`, then the others.

    Raises:
      MissingExtraError: imagecodecs is not installed.
    """
    quick, (others, _) = peers(), _others()
    return [*quick, *others]


def peers_of(dtype: np.dtype) -> list[Peer]:
    """The peers of `all_peers` that take voxels of a type.

    Args:
      dtype: uint8 or uint16.

    Raises:
      MissingExtraError: imagecodecs is not installed.
    """
    return [peer for peer in all_peers() if peer.sixteen_bits or dtype == np.uint8]


def missing_peers() -> dict[str, str]:
    """The peers of `all_peers` that are not installed: name -> what they need."""
    return _others()[1]


def _others() -> tuple[list[Peer], dict[str, str]]:
    """The peers beside those of `peers` that are installed, and what the missing ones need."""
    found: list[Peer] = []
    missing: dict[str, str] = {}
    for name, make in _ENTRIES.items():
        if name in _QUICK:
            continue
        try:
            found.append(make())
        except MissingExtraError as error:
            missing[name] = f"missing. {error}"
    return found, missing


def measure_peer(
    peer: Peer, volume: np.ndarray, passes: int = 1, enough_seconds: float = math.inf
) -> PeerResult:
    """Encodes a volume with one peer, decodes it again and compares.

    Args:
      peer: the codec.
      volume: uint8 [z,y,x], at least one voxel; or uint16, where `peer.sixteen_bits`.
      passes: over the volume. Of each slice, or of the whole where the codec takes it at once, the
        quickest counts: other programs disturb the rest.
      enough_seconds: CPU seconds after which no other pass is begun.

    Returns:
      The result, with a note where the peer refused the volume.
    """
    parts = [volume] if peer.whole_volume else [np.ascontiguousarray(part) for part in volume]
    try:
        # Packages load a codec on its first use; that is not the codec's time.
        few = parts[0][:1] if peer.whole_volume else parts[0]
        peer.decode(peer.encode(np.zeros_like(few[..., :_WARM_UP_VOXELS, :_WARM_UP_VOXELS])))
        start = peer.clock()
        coded, decoded, encode_seconds, decode_seconds = _timed(peer, parts)
        for _ in range(passes - 1):
            if peer.clock() - start >= enough_seconds:
                break
            *_, encode_again, decode_again = _timed(peer, parts)
            encode_seconds = np.minimum(encode_seconds, encode_again)
            decode_seconds = np.minimum(decode_seconds, decode_again)
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
        encode_seconds=float(encode_seconds.sum()),
        decode_seconds=float(decode_seconds.sum()),
        lossless=lossless,
        note="" if lossless else "decoding did not give back the same voxels",
    )


def seconds_together(
    peer: Peer, volume: np.ndarray, threads: int, passes: int = 1
) -> tuple[float, float]:
    """Seconds on the wall clock of coding a volume, its slices spread over threads.

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


def _timed(
    peer: Peer, parts: list[np.ndarray]
) -> tuple[list[bytes | bytearray], list[np.ndarray], np.ndarray, np.ndarray]:
    """What encoding and decoding some arrays gives, and the CPU seconds of each array."""
    coded, encode_seconds = _each(peer.encode, parts, peer.clock)
    decoded, decode_seconds = _each(peer.decode, coded, peer.clock)
    return coded, decoded, encode_seconds, decode_seconds


def _each(
    work: Callable[[Any], Any], items: list[Any], clock: Callable[[], float]
) -> tuple[list[Any], np.ndarray]:
    """What some work makes of each item, and the seconds that it takes for each."""
    results, times = [], [clock()]
    for item in items:
        results.append(work(item))
        times.append(clock())
    return results, np.diff(times)


def _failed(name: str, note: str) -> PeerResult:
    return PeerResult(name, 0, math.nan, math.nan, math.nan, False, note)


def _same(part: np.ndarray, back: np.ndarray, flat: bool) -> bool:
    if flat and back.dtype == np.uint8:
        part = part.ravel().view(np.uint8)
    expected = part.ravel() if flat else part
    return back.dtype == part.dtype and np.array_equal(expected, back)
