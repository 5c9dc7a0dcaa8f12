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
from jaxslice.volumes.formats import FORMATS, format_of
from jaxslice.volumes.interface import Format, Source
from jaxslice.volumes.source import open_source

NAMES = {"npy": "v.npy", "tiff": "v.tif", "hdf5": "v.h5"}
"""Names that files of a format need; folders are called v."""

WRITTEN = [known for known in FORMATS if known.create is not None]


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


RAW = Format("cube", "a .cube", open_raw, (".cube",))


@pytest.fixture
def with_raw(monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", (RAW, *FORMATS))


@pytest.mark.usefixtures("with_raw")
def test_a_format_is_added_by_one_entry(tmp_path: Path):
    voxels = np.arange(27, dtype=np.uint8)
    (tmp_path / "v.cube").write_bytes(voxels.tobytes())
    source = open_source(tmp_path / "v.cube")
    np.testing.assert_array_equal(source.read(source.box).ravel(), voxels)
    with (
        pytest.raises(UsageError, match=r"a \.cube is only read"),
        create_destination(tmp_path / "w.cube", source.box, (1, 1, 1)),
    ):
        pass


@pytest.mark.parametrize("known", WRITTEN, ids=lambda known: known.key)
def test_every_format_reads_what_it_wrote(tmp_path: Path, known: Format):
    place = tmp_path / NAMES.get(known.key, "v")
    box = Box.of_shape((5, 6, 7))
    voxels = np.random.default_rng(0).integers(0, 256, box.shape, np.uint8)
    with create_destination(
        place, box, (40, 4, 5), chunk_shape=(5, 3, 7), dest_format=known.key
    ) as destination:
        copy = pickle.loads(pickle.dumps(destination))
        assert copy == destination
        for part in box.tiles((5, 3, 4)):
            copy.write(part, voxels[part.slices])
    assert format_of(str(place), place) is known
    source = open_source(place)
    np.testing.assert_array_equal(source.read(box), voxels)
    if source.details.voxel_size_known:
        assert source.placement.voxel_size_nm == (40, 4, 5)
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    np.testing.assert_array_equal(copy.read(box), voxels)


def test_keys_suffixes_and_first_bytes_are_of_one_format_each():
    for name in ("suffixes", "magic", "entries"):
        values = [value for known in FORMATS for value in getattr(known, name)]
        assert len(set(values)) == len(values)
    assert len(set(formats.keys())) == len(FORMATS)
