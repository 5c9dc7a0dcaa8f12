"""Writes the golden archives of format versions that have none yet: python tests/make_golden.py

They are written once for a format version and never again: that they decode is what the format
promises. Run it only for a new version, into a new folder. Those of version 1 were written by a
`compress` that knew no other; what wrote them is in the history of this file.
"""

import base64
import contextlib
import dataclasses
import functools
import json
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

import jaxslice
from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.create import create_archive
from jaxslice.archive.model import model_of
from jaxslice.archive.store import BLOCKS_BYTES, Archive, open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import network_difference
from jaxslice.codec.block import encode_blocks
from jaxslice.codec.network import IntegerNetwork, Model
from jaxslice.codec.versions import BLOCK_NETWORK_PAYLOAD_VERSION
from jaxslice.core.checksum import crc32c

GOLDEN = Path(__file__).parent / "golden"
BODY = 20
"""Where the body of a payload begins."""

CHECKSUMS = "voxels_sha256.json"


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


def main() -> None:
    """Writes the archives of each version that has none."""
    missing = [name for name in ("v2", "v3") if not (GOLDEN / name).exists()]
    if not missing:
        sys.exit(f"{GOLDEN} is complete: golden archives do not change within a format version.")
    for name in missing:
        (GOLDEN / name).mkdir(parents=True)
        {"v2": _write_version_2, "v3": _write_version_3}[name](GOLDEN / name)


def _write_version_2(folder: Path) -> None:
    """Archives of version 1 again, in which every second large block has a network of its own."""
    block_bytes = {}
    for name in ("tissue", "slices", "comb"):
        before = open_archive(str(GOLDEN / "v1" / f"{name}.zarr"))
        configuration = dataclasses.replace(
            before.configuration, format_version=BLOCK_NETWORK_PAYLOAD_VERSION, block_networks=True
        )
        block_bytes[name] = _write_with_block_networks(
            folder / f"{name}.zarr", before, configuration
        )
    checksums = json.loads((GOLDEN / "v1" / CHECKSUMS).read_text())
    _write_json(folder, {name: checksums[name] for name in block_bytes}, block_bytes)
    _write_damaged_version_2(folder / "comb.zarr")


def _write_version_3(folder: Path) -> None:
    """Archives as `compress` makes them now, one of them again with networks of blocks' own."""
    block_bytes = {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for name, (voxels, options) in volumes().items():
            np.save(f"{name}.npy", voxels)
            place = str(folder / f"{name}.zarr")
            jaxslice.compress(f"{name}.npy", place, jaxslice.CompressOptions(**options))
            block_bytes[name] = open_archive(place).provenance[BLOCKS_BYTES]
    before = open_archive(str(folder / "tissue.zarr"))
    configuration = dataclasses.replace(before.configuration, block_networks=True)
    block_bytes["own"] = _write_with_block_networks(folder / "own.zarr", before, configuration)
    checksums = json.loads((GOLDEN / "v1" / CHECKSUMS).read_text())
    _write_json(folder, {**checksums, "own": checksums["tissue"]}, block_bytes)
    _write_damaged_version_3(folder)


def _write_with_block_networks(
    place: Path, before: Archive, configuration: CodecConfiguration
) -> int:
    """Writes an archive again, with networks of their own for some blocks; bytes of all blocks."""
    model = model_of(configuration)
    voxels = jaxslice.open(before.location)[...]
    with create_archive(
        str(place), before.box, before.block_shape, configuration,
        before.placement, {**before.provenance, BLOCKS_BYTES: 0},
    ) as made:  # fmt: skip
        for index in made.blocks():
            chosen = sum(index) % 2 == 0 and index[0] < 2
            own = difference_of(model, sum(index)) if chosen else None
            part = padded(voxels[made.box_of(index).slices], made.block_shape)
            (payload,) = encode_blocks([part], model, differences=[own])
            made.write_payload(index, payload)
            made.provenance[BLOCKS_BYTES] += len(payload)
    return made.provenance[BLOCKS_BYTES]


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


def _write_json(folder: Path, checksums: dict[str, str], block_bytes: dict[str, int]) -> None:
    (folder / CHECKSUMS).write_text(json.dumps(checksums, indent=1) + "\n")
    (folder / "block_bytes.json").write_text(json.dumps(block_bytes, indent=1) + "\n")


def _damaged_copy(archive: Path, name: str, key: str, change) -> None:
    target = GOLDEN / "damaged" / archive.parent.name / f"{name}.zarr"
    shutil.copytree(archive, target)
    path = target / key
    path.write_bytes(change(path.read_bytes()))


def _write_damaged_version_2(archive: Path) -> None:
    """Copies of an archive, each with one thing wrong about the first block's own network."""
    damage = functools.partial(_damaged_copy, archive)
    block, metadata = "0/c/0/0/0", "0/zarr.json"
    size = struct.unpack_from("<I", (archive / block).read_bytes(), BODY)[0]

    def changed(name: str, change) -> None:
        """Under a checksum that hides it."""

        def sealed(data: bytes) -> bytes:
            data = change(data[:-4])
            return data + struct.pack("<I", crc32c(data))

        damage(name, block, sealed)

    def difference_changed(name: str, change) -> None:
        def spliced(data: bytes) -> bytes:
            new = change(data[BODY + 4 : BODY + 4 + size])
            return data[:BODY] + struct.pack("<I", len(new)) + new + data[BODY + 4 + size :]

        changed(name, spliced)

    changed("flag-in-version-1", lambda data: b"\x01" + data[1:])
    changed("no-flag-in-version-2", lambda data: data[:3] + b"\x00" + data[4:])
    changed("unknown-flag", lambda data: data[:3] + b"\x03" + data[4:])
    changed("network-of-stored-voxels", lambda data: data[:1] + b"\x01" + data[2:])
    changed("network-beyond-the-end", lambda data: data[:BODY] + b"\xff" * 4 + data[BODY + 4 :])
    changed(
        "no-network",
        lambda data: b"\x01" + data[1:3] + b"\x00" + data[4:BODY] + data[BODY + 4 + size :],
    )
    changed("message-left-over", lambda data: data + bytes(4))
    difference_changed("network-truncated", lambda data: data[:-4])
    difference_changed("network-left-over", lambda data: data + bytes(4))
    difference_changed("network-of-unknown-scale", lambda data: b"\x80" + data[1:])
    model = model_of(open_archive(str(archive)).configuration)
    difference_changed("network-out-of-range", lambda data: _out_of_range(model))
    versions = (b'"format_version": 2', b'"format_version": 1')
    damage("archive-of-version-1", metadata, lambda data: data.replace(*versions))


def _write_damaged_version_3(folder: Path) -> None:
    """Copies of archives, each with one thing wrong that only version 3 can have."""
    metadata = "0/zarr.json"

    def changed(name: str, change, archive: str = "bordered") -> None:
        def edited(data: bytes) -> bytes:
            value = json.loads(data)
            change(value["codecs"][0]["configuration"])
            return json.dumps(value).encode()

        _damaged_copy(folder / f"{archive}.zarr", name, metadata, edited)

    def recoded(name: str, change) -> None:
        """Under a checksum that hides it."""

        def spliced(configuration: dict) -> None:
            body = change(base64.b64decode(configuration["network"])[:-4])
            packed = body + struct.pack("<I", crc32c(body))
            configuration["network"] = base64.b64encode(packed).decode()

        changed(name, spliced)

    changed("future-archive", lambda c: c.update(format_version=4))
    changed("archive-of-version-2", lambda c: c.update(format_version=2))
    changed("no-shear", lambda c: c["architecture"].pop("shear"))
    changed("no-activity-offset", lambda c: c["architecture"].pop("activity_offset"))
    changed("nothing-of-own-networks", lambda c: c.pop("own_networks"))
    changed("less-shear", lambda c: c["architecture"].update(shear=2))
    changed("more-shear", lambda c: c["architecture"].update(shear=4))
    changed("too-much-shear", lambda c: c["architecture"].update(shear=9))
    changed("little-activity", lambda c: c["architecture"].update(activity_offset=15))
    changed(
        "much-activity", lambda c: c["architecture"].update(activity_offset=4096 - 255 * 12 + 1)
    )
    changed("other-activity", lambda c: c["architecture"].update(activity_offset=65))
    changed("own-networks-denied", lambda c: c.update(own_networks=False), "own")
    recoded("network-truncated", lambda data: data[:-4])
    recoded("network-left-over", lambda data: data + bytes(4))
    recoded("network-of-unknown-scale", lambda data: b"\x80" + data[1:])
    changed("network-of-four-bytes", lambda c: c.update(network="AAAAAA=="))


def _out_of_range(model: Model) -> bytes:
    """A difference of 127 in every weight."""
    shapes = model.architecture.layer_shapes
    none, most = (
        IntegerNetwork(
            tuple(np.full(shape, weight, np.int8) for shape in shapes),
            tuple(np.zeros(shape[0], np.int32) for shape in shapes),
        )
        for weight in (0, 127)
    )
    return network_difference.encode(none, most, model.architecture)[0]


if __name__ == "__main__":
    main()
