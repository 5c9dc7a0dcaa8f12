"""The plugin of napari, through npe2 and without a window."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from small_volume import OFFSET, VOXEL_SIZE_NM

import jaxslice
from jaxslice.napari_plugin import reader

with warnings.catch_warnings():
    # npe2 defines its fields in a way that pydantic will not take for ever.
    warnings.simplefilter("ignore")
    # Not among the packages of the tests: its own plugins of pytest and setuptools warn as well.
    pytest.importorskip("npe2")
    from npe2 import PluginManager, PluginManifest
    from npe2.io_utils import _read

MANIFEST = Path(reader.__file__).with_name("napari.yaml")


@pytest.fixture
def manager(monkeypatch):
    manager = PluginManager()
    manifest = PluginManifest.from_file(MANIFEST)
    manager.register(manifest)
    # Commands are looked up in the only manager of a process.
    monkeypatch.setattr(PluginManager, "instance", classmethod(lambda _: manager))
    return manager


def test_the_entry_point_names_the_manifest():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (place,) = project["entry-points"]["napari.manifest"].values()
    assert place == "jaxslice.napari_plugin:napari.yaml"
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()


def test_an_archive_opens_as_a_layer(manager, small_archive, small_volume):
    (layer,) = _read([small_archive], stack=False, _pm=manager)
    data, properties, kind = layer
    assert kind == "image"
    assert data.shape == small_volume.voxels.shape
    np.testing.assert_array_equal(data[3:5, 7], small_volume.voxels[3:5, 7])
    assert properties["name"] == "small"
    assert properties["scale"] == list(VOXEL_SIZE_NM)
    expected = [o * size for o, size in zip(OFFSET, VOXEL_SIZE_NM, strict=True)]
    assert properties["translate"] == expected
    assert properties["multiscale"] is False


def test_nothing_is_decoded_before_it_is_looked_at(small_archive, monkeypatch):
    from jaxslice.codec import block

    monkeypatch.setattr(block, "decode_blocks", None)
    opened = reader.reader_of(small_archive)
    assert opened is not None
    opened(small_archive)


def test_several_scales_are_one_layer(small_archive, monkeypatch):
    monkeypatch.setattr(reader, "open_volumes", lambda path: (jaxslice.open(path),) * 3)
    ((data, properties, _),) = reader.read(small_archive)
    assert len(data) == 3
    assert properties["multiscale"] is True


def test_what_is_no_archive_is_left_to_others(tmp_path, small_archive, small_volume):
    (tmp_path / "zarr.json").write_text("{}")
    for path in (str(tmp_path), str(tmp_path / "none"), small_volume.path, [small_archive]):
        assert reader.reader_of(path) is None


def test_contrast_of_sixteen_bits(tmp_path):
    voxels = np.random.default_rng(0).integers(1000, 2000, (4, 16, 16), dtype=np.uint16)
    np.save(tmp_path / "v.npy", voxels)
    options = jaxslice.CompressOptions(effort=0)
    jaxslice.compress(str(tmp_path / "v.npy"), str(tmp_path / "v.zarr"), options)
    ((_, properties, _),) = reader.read(str(tmp_path / "v.zarr"))
    low, high = properties["contrast_limits"]
    assert 1000 <= low < 1020
    assert 1980 < high < 2000
