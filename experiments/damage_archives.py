"""The small archives that `damage.py` damages."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

import jaxslice
from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.create import create_archive
from jaxslice.archive.metadata import grid_of
from jaxslice.archive.model import model_of
from jaxslice.archive.seal import Leaves, leaf_of
from jaxslice.archive.store import open_archive
from jaxslice.codec import network_bytes, network_difference
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.network import IntegerNetwork, blank
from jaxslice.core.box import Box
from jaxslice.core.placement import Placement

SHAPE = (6, 12, 30)
BLOCK_SHAPE = (3, 12, 16)
PLAIN = Architecture(
    context=((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1), (-1, 0, 0)),
    activity_count=4,
    fallback=4,
    hidden=(4,),
    components=1,
)

Objects: TypeAlias = dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Sample:
    """An archive to be damaged.

    Attributes:
      name: what is special about it.
      folder: where it is.
      voxels: that it holds.
      objects: bytes of every object.
      other: objects of another archive with the same network.
      earlier: objects of an archive of the same identity with other voxels.
    """

    name: str
    folder: Path
    voxels: np.ndarray
    objects: Objects
    other: Objects
    earlier: Objects

    @contextlib.contextmanager
    def changed(self, objects: dict[str, bytes | None]) -> Iterator[None]:
        """The archive with some objects replaced, deleted (None) or added."""
        for key, data in objects.items():
            _put(self.folder / key, data)
        try:
            yield
        finally:
            for key in objects:
                _put(self.folder / key, self.objects.get(key))


def samples(scratch: Path, only: Sequence[str] | None = None) -> Iterator[Sample]:
    """Archives of every mode, below a folder; those of some names only."""
    for name, make in _MAKERS.items():
        if only is None or name in only:
            yield make(scratch / name.replace(" ", "-"), name)


def smooth(seed: int, dtype: str = "uint8") -> np.ndarray:
    """Voxels of a few levels, which a network without weights codes in fewer bits."""
    z, y, x = np.indices(SHAPE)
    noise = np.random.default_rng(seed).normal(0, 0.4, SHAPE)
    voxels = 100 + 30 * np.sin(0.15 * (x + 0.7 * y + 0.2 * z + seed)) + noise
    return (np.rint(voxels).astype(dtype) // 16) * (16 if dtype == "uint8" else 3000)


def _repeating(seed: int) -> np.ndarray:
    voxels = smooth(seed)
    voxels[1], voxels[4], voxels[5] = voxels[0], 50 + seed, voxels[3]
    return voxels


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, np.uint8)


def _black_and_white(seed: int) -> np.ndarray:
    voxels = np.full(SHAPE, seed, np.uint8)
    voxels[3:] = 255 - seed
    return voxels


def _configuration(dtype: str = "uint8") -> CodecConfiguration:
    architecture = PLAIN.of_voxels(np.dtype(dtype))
    packed, _ = network_bytes.pack_coded(blank(architecture), architecture)
    return CodecConfiguration(architecture, packed)


def _linear_configuration(folder: Path) -> CodecConfiguration:
    """A linear predictor that was fitted to the voxels."""
    np.save(folder / "volume.npy", smooth(1))
    options = jaxslice.CompressOptions(effort="fast", block_shape=BLOCK_SHAPE)
    jaxslice.compress(str(folder / "volume.npy"), str(folder / "fitted.zarr"), options)
    return dataclasses.replace(open_archive(folder / "fitted.zarr").configuration, identity=None)


def _own_network(configuration: CodecConfiguration) -> bytes:
    """A difference to the archive's network: other biases of the last layer."""
    base = model_of(configuration).network
    *first, last = base.biases
    own = IntegerNetwork(base.weights, (*first, last + np.array([64, -128, 64], np.int32)))
    return network_difference.encode(base, own, configuration.architecture)[0]


def _write(
    folder: Path, voxels: np.ndarray, configuration: CodecConfiguration, note: str
) -> CodecConfiguration:
    """Writes a sealed archive; returns its configuration, with its identity."""
    placement = Placement((40.0, 4.0, 4.0), (0, 0, 0))
    leaves = Leaves(grid_of(SHAPE, BLOCK_SHAPE))
    with create_archive(
        folder, Box.of_shape(SHAPE), BLOCK_SHAPE, configuration, placement,
        {"blocks_bytes": 0, "note": note}, data_type=voxels.dtype.name, leaves=leaves,
    ) as made:  # fmt: skip
        own = [_own_network(configuration)] if configuration.block_networks else None
        for index in made.blocks():
            part = voxels[made.box_of(index).slices]
            pads = [(0, b - n) for b, n in zip(BLOCK_SHAPE, part.shape, strict=True)]
            (payload,) = encode_blocks(
                [np.pad(part, pads)], model_of(configuration), places=[made.place_of(index)],
                differences=own,
            )  # fmt: skip
            made.write_payload(index, payload)
            leaves.add(index, leaf_of(payload))
    return made.configuration


def _sample(
    folder: Path,
    name: str,
    voxels: Callable[[int], np.ndarray],
    configuration: CodecConfiguration,
) -> Sample:
    folder.mkdir(exist_ok=True)
    archive = folder / "a.zarr"
    made = _write(archive, voxels(1), configuration, "the archive")
    _write(folder / "other.zarr", voxels(2), configuration, "another")
    _write(folder / "earlier.zarr", voxels(3), made, "earlier")
    objects = [_objects(folder / f"{which}.zarr") for which in ("a", "other", "earlier")]
    return Sample(name, archive, voxels(1), *objects)


def _linear(folder: Path, name: str) -> Sample:
    folder.mkdir()
    return _sample(folder, name, smooth, _linear_configuration(folder))


def _of(voxels: Callable[[int], np.ndarray], **changes: bool) -> Callable[[Path, str], Sample]:
    def make(folder: Path, name: str) -> Sample:
        configuration = _configuration(voxels(1).dtype.name)
        return _sample(folder, name, voxels, dataclasses.replace(configuration, **changes))

    return make


_MAKERS: dict[str, Callable[[Path, str], Sample]] = {
    "constant": _of(_black_and_white),
    "stored": _of(_noise),
    "coded": _of(smooth),
    "repeated slices": _of(_repeating),
    "own networks": _of(smooth, block_networks=True),
    "16 bits": _of(lambda seed: smooth(seed, "uint16")),
    "linear": _linear,
}


def _objects(folder: Path) -> Objects:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _put(path: Path, data: bytes | None) -> None:
    if data is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(data)
