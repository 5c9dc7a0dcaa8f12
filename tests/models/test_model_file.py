"""Models: those that come with the package, and files of one's own."""

import dataclasses
import json

import numpy as np
import pytest
from models_for_tests import TINY, random_network

from jaxslice.codec.network import prove
from jaxslice.core.errors import ChecksumError, FormatError, UsageError, VersionError
from jaxslice.models import model_file
from jaxslice.models.adaptation import NUM_TRAITS, Adaptation
from jaxslice.models.model_file import ModelFile

LARGEST_BYTES = 64 * 1024
ADAPTATION = Adaptation(
    np.linspace(-1, 1, NUM_TRAITS, dtype=np.float32),
    tuple(np.full((units, NUM_TRAITS), units, np.float32) for units in TINY.hidden),
)


@pytest.mark.parametrize("name", ["default", "medium", "large"])
def test_shipped_models_are_small_sound_and_described(name):
    loaded = model_file.load(name)
    prove(loaded.network, loaded.architecture)
    assert name in model_file.names()
    assert (model_file.FOLDER / f"{name}.json").stat().st_size <= LARGEST_BYTES
    card = (model_file.FOLDER / f"{name}.md").read_text()
    assert "Trained on" in card
    assert {"sources", "recipe", "software", "seed"} <= set(loaded.provenance)


def test_models_are_as_large_as_they_are_called():
    models = [model_file.load(name).architecture for name in ("default", "medium", "large")]
    work = [architecture.multiply_adds_per_voxel for architecture in models]
    assert work[0] <= 4000
    assert work[0] < work[1] < work[2] <= 16000


@pytest.fixture
def model_path(tmp_path):
    model = ModelFile(
        "any", TINY, random_network(TINY, seed=1), {"sources": [["a.npy"]]}, ADAPTATION
    )
    model_file.save(tmp_path / "m.json", model)
    return tmp_path / "m.json"


def test_a_model_comes_back_from_its_file(model_path):
    loaded = model_file.load(str(model_path))
    assert loaded.name == str(model_path)
    assert loaded.architecture == loaded.model.architecture == TINY
    assert loaded.provenance == {"sources": [["a.npy"]]}
    for got, want in zip(loaded.network.weights, random_network(TINY, seed=1).weights, strict=True):
        np.testing.assert_array_equal(got, want)
    assert loaded.adaptation is not None
    np.testing.assert_array_equal(loaded.adaptation.center, ADAPTATION.center)
    for got, want in zip(loaded.adaptation.maps, ADAPTATION.maps, strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(loaded.fingerprint) == 16
    assert [path.name for path in model_path.parent.iterdir()] == ["m.json"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kind": "cake"}, FormatError, "damaged or not a model"),
        ({"version": 4}, VersionError, "version 4, expected 1 to 3"),
        ({"adaptation": ["AAAA"]}, FormatError, "damaged or not a model"),
        ({"adaptation": []}, FormatError, r"an adaptation of \[\] numbers, not \[10, 80\]"),
        ({"adaptation": ["AADAfw==" * 10] * 2}, FormatError, "damaged or not a model"),
        ({"adaptation": 7}, FormatError, "damaged or not a model"),
        ({"network": "AAAA"}, FormatError, "network of 3 bytes"),
        ({"network": "?"}, FormatError, "damaged or not a model"),
        ({"architecture": {}}, FormatError, "architecture that cannot be read"),
        ({"provenance": 3}, FormatError, "damaged or not a model"),
    ],
)
def test_damaged_models_are_refused(model_path, change, error, message):
    value = json.loads(model_path.read_text())
    model_path.write_text(json.dumps({**value, **change}))
    with pytest.raises(error, match=message):
        model_file.load(str(model_path))


def test_models_of_version_1_have_no_adaptation(model_path):
    value = json.loads(model_path.read_text())
    del value["adaptation"]
    model_path.write_text(json.dumps({**value, "version": 1}))
    assert model_file.load(str(model_path)).adaptation is None


def test_a_flipped_weight_is_noticed(model_path):
    value = json.loads(model_path.read_text())
    network = value["network"]
    value["network"] = ("A" if network[0] != "A" else "B") + network[1:]
    model_path.write_text(json.dumps(value))
    with pytest.raises(ChecksumError):
        model_file.load(str(model_path))


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"3", b"\xff\xfe", b"[" * 10**5])
def test_other_files_are_no_models(tmp_path, data):
    (tmp_path / "m.json").write_bytes(data)
    with pytest.raises(FormatError, match="not a model"):
        model_file.load(str(tmp_path / "m.json"))


def test_unknown_names_say_which_there_are(tmp_path):
    with pytest.raises(
        UsageError, match="'huge', expected one of default, large, medium or the path"
    ):
        model_file.load("huge")
    with pytest.raises(UsageError, match="expected one of"):
        model_file.load(str(tmp_path))


def test_a_place_that_cannot_be_written(tmp_path, model_path):
    model = model_file.load(str(model_path))
    with pytest.raises(UsageError, match="it does not exist"):
        model_file.save(tmp_path / "nowhere" / "m.json", model)
    with pytest.raises(UsageError, match="Not a directory"):
        model_file.save(model_path / "m.json", model)
    with pytest.raises(UsageError, match="which exists, expected a new name or --overwrite"):
        model_file.save(model_path, model)
    model_file.save(model_path, dataclasses.replace(model, provenance={}), overwrite=True)
    assert model_file.load(str(model_path)).provenance == {}
    assert [path.name for path in model_path.parent.iterdir()] == [model_path.name]
