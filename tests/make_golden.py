"""Writes the golden archives of the present format version: python tests/make_golden.py

They are written once for a format version and never again: that they decode is what the format
promises. Run it only for a new version, into a new folder.
"""

import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

import jaxslice
from jaxslice.archive import open_archive
from jaxslice.config import FORMAT_VERSION
from jaxslice.synthetic import synthetic_volume

GOLDEN = Path(__file__).parent / "golden"


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
    """Writes the archives and the checksums of their voxels."""
    folder = GOLDEN / f"v{FORMAT_VERSION}"
    if folder.exists():
        sys.exit(f"{folder} exists: golden archives do not change within a format version.")
    folder.mkdir(parents=True)
    checksums, block_bytes = {}, {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for name, (voxels, options) in volumes().items():
            np.save(f"{name}.npy", voxels)
            jaxslice.compress(
                f"{name}.npy",
                str(folder / f"{name}.zarr"),
                jaxslice.CompressOptions(**options),
            )
            opened = open_archive(str(folder / f"{name}.zarr"))
            block_bytes[name] = opened.provenance["blocks_bytes"]
            checksums[name] = hashlib.sha256(voxels.tobytes()).hexdigest()
    (folder / "voxels_sha256.json").write_text(json.dumps(checksums, indent=1) + "\n")
    (folder / "block_bytes.json").write_text(json.dumps(block_bytes, indent=1) + "\n")
    _write_damaged(folder)


def _write_damaged(folder: Path) -> None:
    """Copies of `bordered`, each with one thing wrong."""

    def damage(name: str, key: str, change) -> None:
        target = GOLDEN / "damaged" / f"v{FORMAT_VERSION}" / f"{name}.zarr"
        shutil.copytree(folder / "bordered.zarr", target)
        path = target / key
        path.write_bytes(change(path.read_bytes()))

    block, metadata = "0/c/0/0/0", "0/zarr.json"
    damage("truncated", block, lambda data: data[:-9])
    damage("flipped-bit", block, lambda data: data[:90] + bytes([data[90] ^ 4]) + data[91:])
    damage("empty", block, lambda data: b"")
    damage("future-block", block, lambda data: b"\x02" + data[1:])
    future = (b'"format_version": 1', b'"format_version": 9')
    damage("future-archive", metadata, lambda data: data.replace(*future))
    damage("broken-json", metadata, lambda data: data[: len(data) // 2])
    damage("not-causal", metadata, lambda data: data.replace(b"[[0, 0, -1]", b"[[0, 0, 1]"))
    damage(
        "other-network", metadata, lambda data: data.replace(b'"network": "', b'"network": "AAAA')
    )


if __name__ == "__main__":
    main()
