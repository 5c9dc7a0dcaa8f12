"""The volumes, networks and archives whose sizes `sizes.csv` holds."""

import csv
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

import jaxslice
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec.block import encode_block
from jaxslice.codec.network import Model
from jaxslice.jobs.effort import FAST, NAMED, effort_named
from jaxslice.models import model_file

SIZES = Path(__file__).parent / "sizes.csv"
MODELS = ("default", "medium", "large")
BLOCK_SHAPE = (8, 96, 96)
ARCHIVE_SHAPE = (16, 96, 192)
TRAINING_STEPS = 60
MODEL_TOLERANCE = 0.001
"""Of sizes by shipped networks: all integers, but the synthetic volume may differ by some voxels
where NumPy's elementary functions do."""

EFFORT_TOLERANCES = {FAST: 0.002, "0": 0.002, "1": 0.002, "2": 0.003, "3": 0.003}
"""Of archives by effort. Fitting and training are in floats, which differ between machines."""


@dataclasses.dataclass(frozen=True)
class Size:
    """One row of `sizes.csv`.

    Attributes:
      volume: one of `volumes`, or "archive".
      coder: a shipped model, or an effort.
      size_bytes: of the payload, or of the archive.
      tolerance: largest relative difference that passes.
    """

    volume: str
    coder: str
    size_bytes: int
    tolerance: float

    def allows(self, size_bytes: int) -> bool:
        """Whether a size is close enough."""
        return abs(size_bytes - self.size_bytes) <= self.tolerance * self.size_bytes


def volumes() -> dict[str, np.ndarray]:
    """A volume of each kind, uint8 [z, y, x]."""
    isotropic = synthetic_volume(BLOCK_SHAPE, seed=11)
    border = isotropic.copy()
    border[:, :30] = border[:, :, 70:] = 0
    # Slices stretched by factors of their own, as after a contrast normalisation.
    factors = np.arange(3, 3 + len(isotropic))[:, None, None]
    gaps = (isotropic // factors * factors).astype(np.uint8)
    return {
        "isotropic": isotropic,
        "anisotropic": synthetic_volume(BLOCK_SHAPE, seed=12, anisotropy=8.0),
        "gaps in the histogram": gaps,
        "dark border": border,
        "tiny": np.ascontiguousarray(isotropic[:1, :3, :5]),
    }


def archive_volume() -> np.ndarray:
    """The volume of the archives, uint8 [z, y, x]."""
    return synthetic_volume(ARCHIVE_SHAPE, seed=13, anisotropy=3.0)


def payload_bytes(voxels: np.ndarray, model: Model) -> int:
    """Size of a block that a model encodes."""
    return len(encode_block(voxels, model))


def archive_bytes(effort: int | str, steps: int | None = TRAINING_STEPS) -> int:
    """Size of an archive at an effort, with the model of that effort whatever the volume's size."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/volume.npy", archive_volume())
        options = jaxslice.CompressOptions(
            effort=effort, model=effort_named(effort).model, block_shape=BLOCK_SHAPE,
            training_steps=None if effort in (FAST, 0) else steps, verify="none", workers=1,
        )  # fmt: skip
        report = jaxslice.compress(f"{folder}/volume.npy", f"{folder}/archive.zarr", options)
    return report.compressed_bytes


def measured_models() -> list[Size]:
    """The sizes of all volumes by all shipped models."""
    return [
        Size(name, model, payload_bytes(voxels, model_file.load(model).model), MODEL_TOLERANCE)
        for name, voxels in volumes().items()
        for model in MODELS
    ]


def measured_efforts() -> list[Size]:
    """The sizes of an archive by all efforts."""
    return [
        Size("archive", f"effort {name}", archive_bytes(_effort(name)), EFFORT_TOLERANCES[name])
        for name in NAMED
    ]


def _effort(name: str) -> int | str:
    return int(name) if name.isdigit() else name


def read_sizes() -> dict[tuple[str, str], Size]:
    """The committed sizes, by volume and coder."""
    with open(SIZES, newline="") as file:
        rows = [
            Size(r["volume"], r["coder"], int(r["size_bytes"]), float(r["tolerance"]))
            for r in csv.DictReader(file)
        ]
    return {(row.volume, row.coder): row for row in rows}


def write_sizes(sizes: list[Size]) -> None:
    """Writes `sizes.csv`."""
    with open(SIZES, "w", newline="") as file:
        names = [field.name for field in dataclasses.fields(Size)]
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, sizes))
