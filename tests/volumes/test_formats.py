"""The registry of formats: what is listed is used, and a new format needs one entry."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.core.placement import Placement
from jaxslice.volumes import formats
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.formats import FORMATS, NPY, PRECOMPUTED, format_of
from jaxslice.volumes.interface import Format, Source
from jaxslice.volumes.source import open_source

NAMES = {NPY.name: "v.npy", PRECOMPUTED.name: "v"}
"""For each format a name that it takes."""


@dataclasses.dataclass(frozen=True)
class RawReader:
    path: Path
    side: int

    def __call__(self, box: Box) -> np.ndarray:
        data = np.frombuffer(self.path.read_bytes(), np.uint8)
        return data.reshape((self.side,) * 3)[box.slices].copy()


def open_raw(place, location, options) -> Source:
    side = round(location.stat().st_size ** (1 / 3))
    box = Box.of_shape((side, side, side))
    return Source(place, box, Placement((1.0, 1.0, 1.0), box.start), RawReader(location, side))


RAW = Format("a .raw cube", lambda location: str(location).endswith(".raw"), open_raw)


@pytest.fixture
def with_raw(monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", (RAW, *FORMATS))


@pytest.mark.usefixtures("with_raw")
def test_a_format_is_added_by_one_entry(tmp_path: Path):
    voxels = np.arange(27, dtype=np.uint8)
    (tmp_path / "v.raw").write_bytes(voxels.tobytes())
    source = open_source(tmp_path / "v.raw")
    np.testing.assert_array_equal(source.read(source.box).ravel(), voxels)
    with (
        pytest.raises(UsageError, match=r"a \.raw cube is only read"),
        create_destination(tmp_path / "w.raw", source.box, (1, 1, 1)),
    ):
        pass


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name[:20])
def test_every_format_reads_what_it_wrote(tmp_path: Path, known: Format):
    place = tmp_path / NAMES[known.name]
    box = Box.of_shape((5, 6, 7))
    voxels = np.random.default_rng(0).integers(0, 256, box.shape, np.uint8)
    with create_destination(place, box, (1, 1, 1), chunk_shape=(5, 3, 7)) as destination:
        copy = pickle.loads(pickle.dumps(destination))
        assert copy == destination
        copy.write(box, voxels)
    assert format_of(str(place), place) is known
    source = open_source(place)
    np.testing.assert_array_equal(source.read(box), voxels)
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    np.testing.assert_array_equal(copy.read(box), voxels)
