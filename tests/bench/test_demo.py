"""The demo: one call, a verified archive, a table and two pictures."""

import json

import numpy as np
import pytest

from jaxslice.archive.lazy_volume import open_volume
from jaxslice.archive.model import model_of
from jaxslice.bench import demo as demo_module
from jaxslice.bench.explain import explain_slice
from jaxslice.core.errors import UsageError


@pytest.mark.slow
def test_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_module, "SYNTHETIC_SHAPE", (8, 64, 96))
    monkeypatch.setattr(demo_module, "TRAINING_STEPS", 50)
    report = demo_module.demo(str(tmp_path / "out"), seed=3)
    json.dumps(report)
    assert report["verified"] is True
    names = {row["name"] for row in report["peers"]}
    assert names >= {"jaxslice, effort 1", "PNG", "JPEG-LS", "WebP", "JPEG 2000", "JPEG-XL e7"}
    assert all(row["lossless"] for row in report["peers"])
    for picture in report["pictures"]:
        with open(picture, "rb") as file:
            assert file.read(4) == b"\x89PNG"


def test_demo_refuses_a_file_for_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="which is a file"):
        demo_module.demo(str(tmp_path / "file"))


def test_explaining_agrees_with_what_coding_costs(small_volume, small_archive):
    """The mean of the expected bits is near the bits really spent, and flat voxels cost nothing."""
    opened = open_volume(small_archive).archive
    model = model_of(opened.configuration)
    block = small_volume.voxels[:4, :16, :32]
    prediction, bits = explain_slice(block, 3, model)
    assert prediction.shape == bits.shape == (16, 32)
    spent = 8 * len(opened.read_payload((0, 0, 0))) / block.size
    assert abs(bits.mean() - spent) < 1.5
    assert np.abs(prediction - block[3].astype(float)).mean() < 15
    with pytest.raises(UsageError, match="Got slice 4"):
        explain_slice(block, 4, model)
