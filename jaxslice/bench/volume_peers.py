"""Peers that take a volume, or come from packages of their own; all run on one thread.

Each raises MissingExtraError where its package is not installed.
"""

from __future__ import annotations

import lzma
import struct
import threading

import numpy as np

from jaxslice.bench.peer import Peer, load_package

_BLOSC2_CHUNK = (64, 256, 256)
_BLOSC2_BLOCK = (32, 32, 32)
_BLOSC2_LEVEL = 1
"""Higher levels of zstd are several times slower and save little on noisy voxels."""

_OPENZL_SHAPE = struct.Struct("<II")


def zstd() -> Peer:
    """Plain bytes by zstd at its highest usual level."""
    imagecodecs = load_package("imagecodecs", "bench")
    return Peer(
        "zstd -19",
        lambda volume: imagecodecs.zstd_encode(_bytes_of(volume), level=19),
        lambda data: np.frombuffer(imagecodecs.zstd_decode(data), np.uint8),
        whole_volume=True,
        sixteen_bits=True,
    )


def xz() -> Peer:
    """Plain bytes in the format of .xz files, with the preset of `xz -9e`."""
    return Peer(
        "xz -9e",
        lambda volume: lzma.compress(_bytes_of(volume), preset=9 | lzma.PRESET_EXTREME),
        lambda data: np.frombuffer(lzma.decompress(data), np.uint8),
        whole_volume=True,
        sixteen_bits=True,
    )


def tomoz(slices: bool) -> Peer:
    """The codec tomoz.

    Args:
      slices: whether it takes each slice on its own, which is better where slices have little in
        common, or grey levels of their own.
    """
    package = load_package("tomoz", "peers")

    def encode(voxels: np.ndarray) -> bytes:
        # Slabs and stripes as large as they get, which saves 0.1 % at the price of random access.
        return package.encode(voxels, slab=4096, stripe=4096, threads=1)

    def decode(data: bytes | bytearray) -> np.ndarray:
        return package.decode(bytes(data), threads=1)

    if slices:
        return Peer("tomoz, slices", encode, lambda data: decode(data)[0], sixteen_bits=True)
    volume = lambda data: decode(data).ravel()
    return Peer("tomoz", encode, volume, whole_volume=True, sixteen_bits=True)


def openzl(predictor: str) -> Peer:
    """OpenZL's graph of a predictor for images and an entropy coder, from the package geozl.

    Args:
      predictor: "med", the median predictor of JPEG-LS; or "planar", which decodes faster.
    """
    geozl = load_package("geozl", "peers")
    own = threading.local()

    def graph_for(image: np.ndarray):
        # A graph is made for one width and type, is meant to be kept, and serves one thread.
        key = (image.shape, image.dtype)
        if getattr(own, "key", None) != key:
            own.key, own.graph = key, geozl.graph(image, f"{predictor}>zigzag>entropy")
        return own.graph

    def encode(image: np.ndarray) -> bytes:
        # A frame holds neither the width nor the type of the voxels.
        head = _OPENZL_SHAPE.pack(image.shape[1], image.itemsize)
        return head + geozl.compress(image, graph=graph_for(image))

    def decode(data: bytes | bytearray) -> np.ndarray:
        width, itemsize = _OPENZL_SHAPE.unpack_from(data)
        flat = geozl.decompress(memoryview(data)[_OPENZL_SHAPE.size :])
        return flat.view(f"u{itemsize}").reshape(-1, width)

    return Peer(f"OpenZL {predictor}", encode, decode, sixteen_bits=True)


def blosc2(bitshuffle: bool) -> Peer:
    """Blosc2 with zstd on small 3-D blocks, as arrays of the package blosc2 are kept.

    Args:
      bitshuffle: whether bits of equal weight are brought together. Otherwise the bytes of voxels
        of several bytes are.
    """
    package = load_package("blosc2", "peers")

    def encode(volume: np.ndarray) -> bytes:
        chunk = tuple(min(most, n) for most, n in zip(_BLOSC2_CHUNK, volume.shape, strict=True))
        block = tuple(min(most, n) for most, n in zip(_BLOSC2_BLOCK, chunk, strict=True))
        # Shuffling the bytes of voxels of one byte changes nothing but takes time.
        shuffle = package.Filter.SHUFFLE if volume.itemsize > 1 else package.Filter.NOFILTER
        settings = {
            "codec": package.Codec.ZSTD,
            "clevel": _BLOSC2_LEVEL,
            "typesize": volume.itemsize,
            "filters": [package.Filter.BITSHUFFLE if bitshuffle else shuffle],
            "filters_meta": [0],
            "nthreads": 1,
        }
        return package.asarray(
            np.ascontiguousarray(volume), chunks=chunk, blocks=block, cparams=settings,
            dparams={"nthreads": 1},
        ).to_cframe()  # fmt: skip

    def decode(data: bytes | bytearray) -> np.ndarray:
        return package.ndarray_from_cframe(bytes(data))[:].ravel()

    name = "Blosc2, bitshuffle" if bitshuffle else "Blosc2"
    return Peer(name, encode, decode, whole_volume=True, sixteen_bits=True)


def _bytes_of(volume: np.ndarray) -> bytes:
    return np.ascontiguousarray(volume).tobytes()
