"""Writes the golden archives of format versions that have none yet: python tests/make_golden.py

They are written once for a format version and never again: that they decode is what the format
promises. Run it only for a new version, into a new folder. What wrote those of versions 1 to 3 is
in the history of this file.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr

import jaxslice
from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.create import create_archive
from jaxslice.archive.model import model_of
from jaxslice.archive.seal import Leaves, leaf_of
from jaxslice.archive.store import BLOCKS_BYTES, Archive, open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import network_difference
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.core.checksum import crc32c

GOLDEN = Path(__file__).parent / "golden"
BODY = 20
"""Where the body of a payload begins before version 4."""

CHECKSUMS = "voxels_sha256.json"
VERSION = "v4"


def volumes() -> dict[str, tuple[np.ndarray, dict]]:
    """What the golden archives hold, and how they are compressed."""
    tissue = synthetic_volume((9, 40, 60), seed=5)
    comb = synthetic_volume((6, 32, 48), seed=6)
    for z, plane in enumerate(comb):
        plane[...] = np.minimum((plane // 5) * (4 + z % 2), 255)
    bordered = synthetic_volume((6, 32, 48), seed=7)
    bordered[:, 20:] = 0
    bordered[:, :, 40:] = 0
    noise = np.random.Generator(np.random.PCG64(8)).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    noise[4] = 17
    return {
        "tissue": (tissue, {"block_shape": (4, 24, 32), "training_steps": 200}),
        "slices": (tissue, {"block_shape": (9, 40, 60), "context": "slices", "training_steps": 50}),
        "comb": (comb, {"block_shape": (6, 32, 48), "training_steps": 50}),
        "bordered": (bordered, {"block_shape": (6, 32, 48), "training_steps": 50}),
        "noise": (noise, {"block_shape": (4, 16, 16), "training_steps": 1}),
    }


def new_volumes() -> dict[str, tuple[np.ndarray, dict]]:
    """What came with version 4: constant and repeated slices, linear predictors, 16 bits."""
    tissue = volumes()["tissue"][0]
    repeats = tissue.copy()
    repeats[1], repeats[3], repeats[6], repeats[7] = repeats[0], 50, repeats[4], repeats[2]
    half = np.full((4, 16, 48), 9, np.uint8)
    half[:, :, 24:] = 200
    wide = 16 * tissue.astype(np.uint16) + 1000
    block_shape = {"block_shape": (9, 40, 60)}
    return {
        "constant": (half, {"block_shape": (4, 16, 24), "effort": 0}),
        "repeats": (repeats, {**block_shape, "effort": 0}),
        "linear": (tissue, {**block_shape, "effort": "fast"}),
        "sixteen": (wide, {**block_shape, "effort": 0}),
    }


def main() -> None:
    """Writes the archives of the version if it has none."""
    folder = GOLDEN / VERSION
    if folder.exists():
        sys.exit(f"{folder} is complete: golden archives do not change within a format version.")
    folder.mkdir(parents=True)
    block_bytes, checksums = {}, {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for name, (voxels, options) in (volumes() | new_volumes()).items():
            np.save(f"{name}.npy", voxels)
            place = str(folder / f"{name}.zarr")
            jaxslice.compress(f"{name}.npy", place, jaxslice.CompressOptions(**options))
    _write_with_block_networks(folder / "own.zarr", open_archive(folder / "tissue.zarr"))
    _write_through_zarr(folder / "zarr.zarr", open_archive(folder / "tissue.zarr"))
    for archive in sorted(folder.glob("*.zarr")):
        block_bytes[archive.stem] = open_archive(archive).provenance[BLOCKS_BYTES]
        voxels = np.ascontiguousarray(jaxslice.open(archive)[...])
        checksums[archive.stem] = hashlib.sha256(voxels.tobytes()).hexdigest()
    (folder / CHECKSUMS).write_text(json.dumps(checksums, indent=1) + "\n")
    (folder / "block_bytes.json").write_text(json.dumps(block_bytes, indent=1) + "\n")
    _write_damaged(folder)


def _write_with_block_networks(place: Path, before: Archive) -> None:
    """Writes an archive again, with networks of their own for some blocks."""
    configuration = dataclasses.replace(before.configuration, block_networks=True, identity=None)
    model, voxels = model_of(configuration), jaxslice.open(before.location)[...]
    leaves = Leaves(before.grid_shape)
    with _again(place, before, configuration, leaves) as made:
        for index in made.blocks():
            chosen = sum(index) % 2 == 0 and index[0] < 2
            own = difference_of(model, sum(index)) if chosen else None
            part = padded(voxels[made.box_of(index).slices], made.block_shape)
            (payload,) = encode_blocks(
                [part], model, differences=[own], places=[made.place_of(index)]
            )
            made.write_payload(index, payload)
            leaves.add(index, leaf_of(payload))
            made.provenance[BLOCKS_BYTES] += len(payload)


def _write_through_zarr(place: Path, before: Archive) -> None:
    """An archive that is not sealed, and whose voxels zarr wrote. A black chunk is missing."""
    configuration = dataclasses.replace(before.configuration, identity=None)
    with _again(place, before, configuration, None):
        pass
    voxels = jaxslice.open(before.location)[...]
    voxels[:4, :24, :32] = 0
    zarr.open_array(place / "0", mode="r+")[...] = voxels
    assert not (place / "0" / "c" / "0" / "0" / "0").exists()


def _again(
    place: Path, before: Archive, configuration: CodecConfiguration, leaves: Leaves | None
) -> contextlib.AbstractContextManager[Archive]:
    return create_archive(
        str(place), before.box, before.block_shape, configuration, before.placement,
        {**before.provenance, BLOCKS_BYTES: 0}, leaves=leaves,
    )  # fmt: skip


def padded(part: np.ndarray, block_shape: tuple[int, int, int]) -> np.ndarray:
    """A block at the volume's far edge, filled up with zeros."""
    return np.pad(part, [(0, b - n) for b, n in zip(block_shape, part.shape, strict=True)])


def difference_of(model: Model, seed: int) -> bytes:
    """To a network that is the model's but for every twentieth number, and the last biases."""
    rng = np.random.Generator(np.random.PCG64(seed))

    def moved(tensor: np.ndarray, unit: int) -> np.ndarray:
        steps = rng.integers(-3, 4, tensor.shape) * (rng.random(tensor.shape) < 0.05)
        return np.clip(tensor + unit * steps, -127, 127) if unit == 1 else tensor + unit * steps

    network = model.network
    changed = [moved(tensor, 40).astype(np.int32) for tensor in network.biases[:-1]]
    own = IntegerNetwork(
        tuple(moved(tensor, 1).astype(np.int8) for tensor in network.weights),
        (*changed, network.biases[-1]),
    )
    return network_difference.encode(network, own, model.architecture)[0]


def _write_damaged(folder: Path) -> None:
    """Copies of archives, each with one thing wrong."""
    first, second = "0/c/0/0/0", "0/c/0/0/1"

    def copied(name: str, archive: str) -> Path:
        target = GOLDEN / "damaged" / VERSION / f"{name}.zarr"
        shutil.copytree(folder / f"{archive}.zarr", target)
        return target

    def edited(name: str, key: str, change, archive: str = "tissue") -> None:
        path = copied(name, archive) / key
        path.write_bytes(change(path.read_bytes()))

    def recoded(name: str, change) -> None:
        """Under a CRC32C that hides it, in an archive that is not sealed."""
        edited(name, second, lambda data: _with_crc(change(data[:-4])), "zarr")

    tissue = folder / "tissue.zarr"
    swapped = copied("swapped", "tissue")
    shutil.copy(tissue / first, swapped / second)
    shutil.copy(tissue / second, swapped / first)
    shutil.copy(tissue / first, copied("copied", "tissue") / second)
    shutil.copy(folder / "own.zarr" / first, copied("of-another-archive", "tissue") / first)
    (copied("lost", "tissue") / first).unlink()
    edited("effort-changed", "zarr.json", lambda d: d.replace(b'"effort": 1', b'"effort": 0'))
    edited("seal-renamed", "zarr.json", lambda d: d.replace(b'"seal"', b'"sfal"'))
    edited("shape-changed", "0/zarr.json", lambda d: d.replace(b"[9,40,60]", b"[9,40,59]"))
    edited("unsealed-in-part", "0/zarr.json", lambda d: d.replace(b'ed":true', b'ed":false'))
    edited("future", "0/zarr.json", lambda d: d.replace(b'version":4', b'version":5'), "zarr")
    edited("kind", "0/zarr.json", lambda d: d.replace(b'"kind":"n', b'"kind":"x'), "zarr")
    recoded("unknown-flag", lambda d: d[:2] + b"\4" + d[3:])
    recoded("fourth-byte", lambda d: d[:3] + b"\1" + d[4:])
    recoded("network-denied", lambda d: d[:2] + b"\1" + d[3:])
    recoded("slices-that-are-none", lambda d: d[:2] + b"\2" + d[3:])
    recoded("other-identity", lambda d: d[:4] + bytes(8) + d[12:])
    recoded("other-index", lambda d: d[:12] + struct.pack("<3I", 0, 0, 0) + d[24:])
    recoded("large-fill", lambda d: d[:36] + b"\0\1" + d[38:])
    recoded("other-digest", lambda d: d[:38] + bytes([d[38] ^ 1]) + d[39:])
    recoded("version-1", lambda d: b"\1" + d[1:])


def _with_crc(data: bytes) -> bytes:
    return data + struct.pack("<I", crc32c(data))


if __name__ == "__main__":
    main()
