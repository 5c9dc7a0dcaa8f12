"""Adds golden archives of version 4 for what the first ones do not reach: python
tests/make_more_golden.py

An archive that is there is left as it is, so that a case can be added at any time.
"""

import contextlib
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_golden import CHECKSUMS, GOLDEN, VERSION, difference_of, padded

import jaxslice
from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.create import create_archive
from jaxslice.archive.model import model_of
from jaxslice.archive.seal import Leaves, leaf_of
from jaxslice.archive.store import BLOCKS_BYTES, open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import linear, network_bytes, slices
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.network import IntegerNetwork
from jaxslice.codec.slices import SliceTable
from jaxslice.core.box import Box
from jaxslice.core.placement import Placement

SIZES = "block_bytes.json"
FOLDER = GOLDEN / VERSION
SHAPE = (6, 24, 32)

HAND_MADE = ("repeated-constant",)
"""Those that the format allows and the encoder does not write."""

DEEP = Architecture(
    context=(
        (0, 0, -1), (0, -1, 0), (0, -1, 7), (0, -1, -1), (0, -2, 15), (0, 0, -2),
        (-1, 0, 0), (-1, 3, 1), (-2, -1, 0), (-4, 2, -3),
    ),
    activity_count=6, fallback=6, hidden=(7, 6, 5, 4), components=8, shear=8, activity_offset=48,
)  # fmt: skip
"""Four hidden layers, the largest shear and the most components."""

SHALLOW = Architecture(
    context=((-1, 0, 0), (-2, 0, 0), (-1, 2, 2), (-3, -2, 0)),
    activity_count=4, fallback=1, hidden=(5,), components=1, activity_offset=16,
)  # fmt: skip
"""One hidden layer and one component, without context in the slice."""


def tissue(seed: int) -> np.ndarray:
    """uint8 [z, y, x], as of electron microscopy."""
    return synthetic_volume(SHAPE, seed=seed)


def wide() -> np.ndarray:
    """uint16 whose differences grow from slice to slice, so that every shift occurs; all levels
    from 0 to 65535 are in the alphabet."""
    rng = np.random.Generator(np.random.PCG64(20))
    spread = np.array([2, 20, 100, 500, 2000, 5000])[:, None, None]
    rows = np.arange(SHAPE[1])[None, :, None] * 2200
    voxels = np.rint(7000 + rows + rng.normal(0, 1, SHAPE) * spread)
    voxels[:, 0, 0], voxels[:, -1, -1] = 0, 65535
    return np.clip(voxels, 0, 65535).astype(np.uint16)


def gaps() -> np.ndarray:
    """uint16 whose slices have levels of their own: up to three runs, steps, numbers of two bytes,
    and slices that are constant or repeated."""
    voxels = tissue(21).astype(np.uint16)
    rng = np.random.Generator(np.random.PCG64(21))
    voxels[0] = 300 + voxels[0] // 8 * 3 + np.array([0, 900, 3000])[voxels[0] // 86]
    voxels[1] = np.where(voxels[1] > 120, 60000, 500) + voxels[1] // 16 * 7
    voxels[2] = 40000
    voxels[3] = voxels[1]
    voxels[4] = 1000 + 5 * (12 * voxels[4] + rng.integers(0, 400, SHAPE[1:]))
    voxels[5] = np.where(voxels[5] > 110, 65535, 17)
    return voxels


def stored() -> np.ndarray:
    """uint16 of three blocks: noise that is stored with a constant slice, a constant block, and a
    border with a fill of two bytes."""
    rng = np.random.Generator(np.random.PCG64(22))
    voxels = np.full((4, 12, 48), 40000, np.uint16)
    voxels[:, :, :16] = rng.integers(0, 65536, (4, 12, 16))
    voxels[2, :, :16] = 50000
    voxels[:3, :10, 32:45] = rng.integers(0, 65536, (3, 10, 13))
    return voxels


def one_bitmap() -> np.ndarray:
    """uint8 with every fifth level."""
    return tissue(23) // 5 * 5


def repeats() -> np.ndarray:
    """uint8 with slices that are repeated or constant."""
    voxels = tissue(24)
    voxels[2], voxels[3] = voxels[0], 50
    return voxels


Case = tuple[np.ndarray, dict]


def compressed() -> dict[str, Case]:
    """Those that `compress` writes: voxels and options."""
    small = {"block_shape": SHAPE, "effort": 0}
    part = {"block_shape": (2, 12, 16), "effort": 0}
    return {
        "wide": (wide(), small),
        "gaps": (gaps(), small),
        "stored": (stored(), {"block_shape": (4, 12, 16), "effort": 0}),
        "one-bitmap": (one_bitmap(), small),
        "sharded": (tissue(25)[:5, :, :30], {**part, "shard_shape": (4, 24, 16)}),
        "scales": (tissue(26), {**part, "block_shape": SHAPE, "downsample": 1}),
    }


def made() -> dict[str, Callable[[Path], None]]:
    """Those that are written in another way."""
    return {
        "own-repeats": _own_repeats,
        "repeated-constant": _repeated_constant,
        "one-predictor": lambda place: _linear(place, 1, 1),
        "four-phases": lambda place: _linear(place, 2, 4),
        "deep": lambda place: _network(place, DEEP),
        "shallow": lambda place: _network(place, SHALLOW),
    }


def main() -> None:
    """Writes the archives that are not there yet."""
    checksums, sizes = (json.loads((FOLDER / name).read_text()) for name in (CHECKSUMS, SIZES))
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for name, (voxels, options) in compressed().items():
            if not (FOLDER / f"{name}.zarr").exists():
                np.save(f"{name}.npy", voxels)
                options = jaxslice.CompressOptions(**options)
                jaxslice.compress(f"{name}.npy", FOLDER / f"{name}.zarr", options)
    for name, make in made().items():
        if not (FOLDER / f"{name}.zarr").exists():
            make(FOLDER / f"{name}.zarr")
    for archive in sorted(FOLDER.glob("*.zarr")):
        if archive.stem not in checksums:
            voxels = np.ascontiguousarray(jaxslice.open(archive)[...])
            checksums[archive.stem] = hashlib.sha256(voxels.tobytes()).hexdigest()
            sizes[archive.stem] = open_archive(archive).provenance[BLOCKS_BYTES]
    for name, values in ((CHECKSUMS, checksums), (SIZES, sizes)):
        (FOLDER / name).write_text(json.dumps(values, indent=1) + "\n")


def _write(
    place: Path, voxels: np.ndarray, configuration: CodecConfiguration, own_seed: int | None = None
) -> None:
    """Writes a sealed archive of one block, with a network of its own if there is a seed."""
    model, leaves = model_of(configuration), Leaves((1, 1, 1))
    box, provenance = Box.of_shape(voxels.shape), {BLOCKS_BYTES: 0}
    placement = Placement((1e-7, 4.5, 4e16), (0, 0, 0))
    difference = None if own_seed is None else difference_of(model, own_seed)
    with create_archive(
        place, box, SHAPE, configuration, placement, provenance, leaves=leaves
    ) as archive:
        index = (0, 0, 0)
        (payload,) = encode_blocks(
            [padded(voxels, SHAPE)], model, differences=[difference],
            places=[archive.place_of(index)],
        )  # fmt: skip
        archive.write_payload(index, payload)
        leaves.add(index, leaf_of(payload))
        archive.provenance.update(
            {BLOCKS_BYTES: len(payload), "text": "\u00b5m \U0001f52c\u007f\t"}
        )


def _shipped() -> CodecConfiguration:
    """The network that effort 0 found for another archive."""
    return dataclasses.replace(
        open_archive(FOLDER / "scales.zarr").configuration, identity=None, block_networks=False
    )


def _own_repeats(place: Path) -> None:
    configuration = dataclasses.replace(_shipped(), block_networks=True)
    _write(place, repeats(), configuration, own_seed=3)


def _repeated_constant(place: Path) -> None:
    """A slice repeats a constant one, and another one repeats that."""
    voxels = repeats()
    voxels[2:5] = 50
    kinds = np.array([0, 0, slices.CONSTANT, 1, 1, 0], np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        table = SliceTable(kinds, np.array([50], np.uint8))
        patch.setattr(slices, "find", lambda voxels: table)
        _write(place, voxels, _shipped())


def _linear(place: Path, predictors: int, phases: int) -> None:
    """With the first predictors of an archive, for another number of phases."""
    fitted = open_archive(FOLDER / "linear.zarr").configuration
    numbers = linear.unpack(fitted.packed_network, fitted.architecture)
    numbers = type(numbers)(*(part[:predictors] for part in numbers))
    architecture = dataclasses.replace(fitted.architecture, predictors=predictors, phases=phases)
    configuration = CodecConfiguration(architecture, linear.pack(numbers))
    _write(place, tissue(27) // 3 if phases == 4 else tissue(27), configuration)


def _network(place: Path, architecture: Architecture) -> None:
    """Random weights, so small that blocks still become shorter."""
    rng, shapes = np.random.Generator(np.random.PCG64(28)), architecture.layer_shapes
    network = IntegerNetwork(
        tuple(rng.integers(-3, 4, shape).astype(np.int8) for shape in shapes),
        tuple(rng.integers(-1500, 1501, shape[0]).astype(np.int32) for shape in shapes),
    )
    packed, _ = network_bytes.pack_coded(network, architecture)
    noise = np.random.Generator(np.random.PCG64(29)).integers(0, 3, SHAPE, dtype=np.uint8)
    voxels = tissue(29)[:1] // 2 + noise
    _write(place, voxels, CodecConfiguration(architecture, packed))


if __name__ == "__main__":
    main()
