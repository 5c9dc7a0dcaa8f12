"""Whole archives at each effort: lossless, repeatable, and never larger for the trouble."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models_for_tests import TINY, random_network, strange_blocks
from small_volume import write_volume

import jaxslice
from jaxslice import reference
from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.codec import network_bytes, network_difference
from jaxslice.core.errors import UsageError
from jaxslice.jobs.recipe import Recipe
from jaxslice.jobs.train_model import make_model
from jaxslice.models import model_file
from jaxslice.models.model_file import ModelFile
from jaxslice.training import block_networks, closed_form, natural_gradient
from jaxslice.training.config import TrainingConfig

ROOT = Path(__file__).parents[2]
BLOCK_SHAPE = (8, 24, 32)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> str:
    """A model file, so bad that tuning and networks of blocks' own pay at once."""
    path = tmp_path_factory.mktemp("model") / "tiny.json"
    model_file.save(path, ModelFile("tiny", TINY, random_network(TINY, seed=2, spread=2), {}))
    return str(path)


@pytest.fixture
def adaptive_model(halves, tmp_path) -> str:
    """A model that follows traits, trained for a moment."""
    recipe = Recipe(
        training=TrainingConfig(steps=60, batch_voxels=512, steps_per_call=20),
        patch_shape=(4, 16, 16),
        styles_per_group=6,
        steps_per_draw=60,
    )
    np.save(tmp_path / "other.npy", synthetic_volume((8, 48, 48), seed=5, anisotropy=4.0))
    path = str(tmp_path / "adaptive.json")
    make_model([[str(tmp_path / "other.npy")]], path, TINY, recipe)
    return path


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> str:
    """A volume whose halves have nothing in common, and whose corner is black."""
    smooth = synthetic_volume((16, 48, 32), seed=1)
    comb = np.random.default_rng(0).integers(0, 4, smooth.shape).cumsum(axis=2) % 64 * 4
    voxels = np.concatenate([smooth, comb.astype(np.uint8)], axis=2)
    voxels[8:, 24:, 32:] = 0
    return write_volume(tmp_path_factory.mktemp("halves") / "volume", voxels).path


@pytest.fixture
def compress(halves, tiny_model, tmp_path):
    """Compresses the halves: (report, archive)."""

    def run(effort, source=halves, **changes):
        options = jaxslice.CompressOptions(
            block_shape=BLOCK_SHAPE, effort=effort, model=tiny_model, training_steps=100
        )
        archive = str(tmp_path / f"{len(list(tmp_path.iterdir()))}.zarr")
        report = jaxslice.compress(source, archive, dataclasses.replace(options, **changes))
        jaxslice.verify(archive, source=source)
        return report, open_archive(archive)

    return run


def as_stored(model: str) -> str:
    """The fingerprint of a model's network as archives store it, with its biases rounded."""
    loaded = model_file.load(model)
    _, rounded = network_bytes.pack_coded(loaded.network, loaded.architecture)
    return network_bytes.fingerprint(network_bytes.pack(rounded))


def test_effort_0_takes_the_model_as_it_is(compress, tiny_model):
    report, archive = compress(0)
    assert archive.provenance["network_fingerprint"] == as_stored(tiny_model)
    assert not archive.configuration.block_networks
    assert report.seconds["train"] == 0
    assert report.details["tuning_gain_bits_per_voxel"] == 0
    assert report.details["model"] == Path(tiny_model).name


def test_a_model_that_adapts_saves_what_it_says(compress, adaptive_model):
    _, before = compress(0, model=adaptive_model)
    report, archive = compress(0, model=adaptive_model, seed=1)
    gain = report.details["adaptation_gain_bits_per_voxel"]
    network = model_file.load(adaptive_model)
    assert gain > 0
    assert report.seconds["adapt"] > 0
    assert report.seconds["train"] == 0
    assert not archive.configuration.block_networks
    assert archive.provenance["model_fingerprint"] == network.fingerprint
    assert archive.provenance["network_fingerprint"] != as_stored(adaptive_model)
    assert before.provenance["network_fingerprint"] != archive.provenance["network_fingerprint"]
    stiff = dataclasses.replace(network, adaptation=None)
    model_file.save(adaptive_model + "stiff", stiff)
    without, _ = compress(0, model=adaptive_model + "stiff", seed=1)
    assert without.details["adaptation_gain_bits_per_voxel"] == 0
    assert without.bits_per_voxel - report.bits_per_voxel == pytest.approx(gain, rel=0.6)


def test_an_adaptation_that_is_worse_is_not_used(compress, adaptive_model, monkeypatch):
    bad = random_network(TINY, seed=9, spread=60)
    monkeypatch.setattr(closed_form, "adapt", lambda *_: bad)
    monkeypatch.setattr(natural_gradient, "descend", lambda *_: [])
    report, archive = compress(0, model=adaptive_model)
    assert report.details["adaptation_gain_bits_per_voxel"] == 0
    assert archive.provenance["network_fingerprint"] == as_stored(adaptive_model)


def test_effort_1_saves_what_it_says(compress, tiny_model):
    (plain, _), (tuned, archive) = compress(0), compress(1)
    saved = plain.bits_per_voxel - tuned.bits_per_voxel
    assert tuned.details["tuning_gain_bits_per_voxel"] == pytest.approx(saved, rel=0.4)
    assert saved > 0.2
    assert not archive.configuration.block_networks
    assert archive.provenance["model_fingerprint"] == model_file.load(tiny_model).fingerprint
    assert "train_blocks" not in tuned.seconds


def test_effort_2_saves_what_it_says(compress, monkeypatch):
    report, archive = compress(2)
    details = report.details
    assert archive.configuration.block_networks
    assert 0 < details["own_networks"] < archive.num_blocks, "the black corner needs none"
    assert details["own_networks_bytes"] > 0
    assert report.seconds["train_blocks"] > 0
    monkeypatch.setattr(
        block_networks, "train_block_networks", lambda blocks, *_: [None] * len(blocks)
    )
    without, other = compress(2)
    assert other.configuration == archive.configuration
    assert without.details["own_networks"] == without.details["own_networks_bytes"] == 0
    sizes = [sum(len(a.read_payload(i)) for i in a.blocks()) for a in (other, archive)]
    assert sizes[0] - sizes[1] == details["own_networks_saved_bytes"] > 0


def test_no_block_is_longer_than_without_its_network(compress, monkeypatch):
    """Networks that cost more than they save stay away, one block at a time."""
    real = block_networks.train_block_networks

    def some_useless(blocks, base, *args):
        own = real(blocks, base, *args)
        bad = network_difference.encode(base, random_network(TINY, seed=9, spread=60), TINY)[0]
        return [
            bad if int(block[0, 0, 0]) % 2 else data
            for block, data in zip(blocks, own, strict=True)
        ]

    monkeypatch.setattr(block_networks, "train_block_networks", some_useless)
    _, archive = compress(2)
    monkeypatch.setattr(
        block_networks, "train_block_networks", lambda blocks, *_: [None] * len(blocks)
    )
    _, without = compress(2)
    pairs = [(archive.read_payload(i), without.read_payload(i)) for i in archive.blocks()]
    assert all(len(first) <= len(second) for first, second in pairs)
    assert any(first == second for first, second in pairs)


@pytest.mark.parametrize(("workers", "batch"), [(1, 3), (3, 1)])
def test_effort_2_gives_the_same_bytes_for_any_workers_and_batch(compress, workers, batch):
    _, first = compress(2, workers=2)
    _, second = compress(2, workers=workers, batch_blocks=batch, verify="sample")
    assert first.configuration == second.configuration
    for index in first.blocks():
        assert first.read_payload(index) == second.read_payload(index)


PROGRAM = """
import sys, jax, jaxslice
assert len(jax.local_devices()) == int(sys.argv[1])
options = jaxslice.CompressOptions(
    block_shape=(8, 24, 32), effort=2, model=sys.argv[2], training_steps=50
)
jaxslice.compress(sys.argv[3], sys.argv[4], options)
"""


def test_effort_2_gives_the_same_bytes_on_eight_devices(halves, tiny_model, tmp_path):
    archives = []
    for count in (1, 8):
        archive = str(tmp_path / f"{count}.zarr")
        flags = f"--xla_force_host_platform_device_count={count}"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(count), tiny_model, halves, archive],
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, check=True, cwd=ROOT,
        )  # fmt: skip
        archives.append(open_archive(archive))
    first, second = archives
    assert first.configuration == second.configuration
    assert first.provenance["own_networks"] > 0
    for index in first.blocks():
        assert first.read_payload(index) == second.read_payload(index)


def test_the_reference_decodes_effort_2(compress, halves):
    _, archive = compress(2)
    whole = jaxslice.open(archive.location)[...]
    for index in archive.blocks():
        block = reference.read_archive_block(Path(archive.location) / "0", index)
        start = [i * n for i, n in zip(index, BLOCK_SHAPE, strict=True)]
        expected = whole[tuple(slice(a, a + n) for a, n in zip(start, BLOCK_SHAPE, strict=True))]
        np.testing.assert_array_equal(block[tuple(slice(n) for n in expected.shape)], expected)


@pytest.mark.parametrize("kind", strange_blocks((6, 20, 24)))
def test_strange_volumes_pass_at_effort_2(compress, tmp_path, kind):
    path = str(tmp_path / "strange.npy")
    np.save(path, strange_blocks((6, 20, 24))[kind])
    report, archive = compress(2, source=path, block_shape=(6, 20, 24))
    assert archive.num_blocks == 1
    assert np.isfinite(report.details["tuning_gain_bits_per_voxel"])


def test_info_knows_what_each_part_cost(compress):
    report, archive = compress(2)
    info = jaxslice.info(archive.location)
    for key in ("effort", "own_networks", "own_networks_bytes", "tuning_gain_bits_per_voxel"):
        assert info.details["provenance"][key] == report.details[key]
    assert info.details["network_bytes"] == report.details["network_bytes"]
    json.dumps(report.to_json())


def test_slices_train_from_scratch(small_volume, tmp_path):
    options = jaxslice.CompressOptions(
        block_shape=(4, 16, 32), training_steps=50, context="slices", bbox=small_volume.box
    )
    report = jaxslice.compress(small_volume.path, str(tmp_path / "a.zarr"), options)
    assert report.details["model"] is None
    jaxslice.verify(str(tmp_path / "a.zarr"), source=small_volume.path)


def test_an_unknown_model_leaves_nothing(compress, tmp_path):
    with pytest.raises(UsageError, match="the model 'huge'"):
        compress(1, model="huge")
    assert list(tmp_path.iterdir()) == []
