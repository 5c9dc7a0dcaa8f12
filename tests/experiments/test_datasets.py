"""The list of data sets: hashes are compared, cuts are made from what is published."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

from jaxslice.bench.synthetic import synthetic_volume

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PUBLISHED = synthetic_volume((12, 20, 30), seed=5)
START, SHAPE = (1, 2, 3), (11, 16, 24)
CUT = np.ascontiguousarray(PUBLISHED[1:12, 2:18, 3:27])


@pytest.fixture
def datasets(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    return importlib.import_module("datasets")


@pytest.fixture
def dataset(datasets):
    return datasets.Dataset(
        "toy", SHAPE, "1, 1, 1", "tissue", "here", "toy", datasets.sha256_of(CUT), START
    )


def test_all_volumes_are_described(datasets):
    names = [dataset.name for dataset in datasets.DATASETS]
    assert names == sorted(set(names))
    for dataset in datasets.DATASETS:
        assert len(dataset.sha256) == 64
        assert all((dataset.what, dataset.published, dataset.voxel_size_nm))
        assert (dataset.start is None) == (dataset.cut == "cut not recorded")


def test_the_hash_is_of_the_voxels_in_z_y_x_order(datasets):
    import hashlib

    assert datasets.sha256_of(CUT.transpose(2, 1, 0).copy().transpose(2, 1, 0)) == (
        hashlib.sha256(CUT.tobytes()).hexdigest()
    )


@pytest.mark.parametrize("kind", ["npy", "png", "tif", "pages"])
def test_a_volume_is_made_from_what_is_published(datasets, dataset, monkeypatch, tmp_path, kind):
    import imagecodecs

    source = tmp_path / "published"
    if kind == "npy":
        source = tmp_path / "published.npy"
        np.save(source, PUBLISHED)
    elif kind == "pages":
        source = tmp_path / "published.tif"
        source.write_bytes(imagecodecs.tiff_encode(PUBLISHED, photometric="minisblack"))
    else:
        source.mkdir()
        encode = imagecodecs.png_encode if kind == "png" else imagecodecs.tiff_encode
        for number, plane in enumerate(PUBLISHED):
            # 9 comes before 10 although "10" sorts before "9".
            (source / f"slice.{number}.{kind}").write_bytes(encode(plane))
    monkeypatch.setattr(datasets, "DATASETS", (dataset,))
    command = ["--make=toy", f"--published={source}", f"--output={tmp_path}"]
    datasets.main(command)
    np.testing.assert_array_equal(np.load(tmp_path / "toy.npy"), CUT)
    assert datasets.check_folder(tmp_path)


def test_other_voxels_are_refused(datasets, dataset, monkeypatch, tmp_path, capsys):
    changed = PUBLISHED.copy()
    changed[5, 5, 5] ^= 1
    with pytest.raises(ValueError, match="Got SHA-256"):
        datasets.make(dataset, changed)
    with pytest.raises(ValueError, match="of uint8"):
        datasets.make(dataset, PUBLISHED[:5])
    with pytest.raises(ValueError, match="cut not recorded"):
        datasets.make(dataclasses.replace(dataset, start=None), PUBLISHED)
    monkeypatch.setattr(datasets, "DATASETS", (dataset,))
    for missing in (True, False):
        if not missing:
            np.save(tmp_path / "toy.npy", changed[1:12, 2:18, 3:27])
        with pytest.raises(SystemExit) as exit_info:
            datasets.main([f"--check={tmp_path}"])
        assert exit_info.value.code
        assert ("No such file" in capsys.readouterr().out) == missing


def test_the_list_is_printed(datasets, capsys):
    datasets.main([])
    printed = capsys.readouterr().out
    assert "cut not recorded" in printed
    assert "stack1/raw" in printed
