"""The matrix of engines says yes where bytes and voxels are the same, and no where they are not."""

import importlib
from pathlib import Path

from jaxslice.archive.store import open_archive

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_other_voxels_are_seen(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    matrix = importlib.import_module("matrix_engines")
    monkeypatch.setattr(matrix, "SHAPE", (8, 24, 16))
    place, voxels = matrix.made("linear predictors", str(tmp_path))
    for changed, word in ((0, "yes"), (1, "no")):
        row = matrix.coded(open_archive(place), voxels ^ changed, "native", 2)
        assert row == {"encodes_same": word, "decodes_same": word, "blocks": 2}
