"""Making models: seeded, resumable to the same bytes, and honest about what went in."""

import builtins
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from models_for_tests import TINY, random_network
from servers import serve_folder

from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.box import Box
from jaxslice.core.errors import MissingExtraError, UsageError
from jaxslice.jobs import recipe as recipe_module
from jaxslice.jobs.recipe import Recipe
from jaxslice.jobs.train_model import make_model
from jaxslice.models import model_file
from jaxslice.models.model_file import ModelFile
from jaxslice.models.presets import FULL
from jaxslice.training.augment import NOTHING, Augmentation
from jaxslice.training.closed_form import LINEAR_UNITS
from jaxslice.training.config import TrainingConfig
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.source import open_source

SHORT = Recipe(
    training=TrainingConfig(steps=60, batch_voxels=256, steps_per_call=10),
    patch_shape=(4, 16, 16),
    styles_per_group=2,
    patches_per_style=2,
    steps_per_draw=20,
)


@pytest.fixture
def sources(tmp_path):
    paths = []
    for seed, shape in enumerate([(12, 40, 40), (5, 50, 30), (1, 9, 20)]):
        paths.append(str(tmp_path / f"{seed}.npy"))
        np.save(paths[-1], synthetic_volume(shape, seed=seed))
    return paths


def _make(sources, output, **arguments):
    arguments = {"architecture": TINY, "recipe": SHORT, "overwrite": True, **arguments}
    make_model([sources[:2], sources[2:]], str(output), **arguments)
    return output.read_bytes()


def test_the_same_seed_gives_the_same_file(sources, tmp_path):
    first, again, other = (_make(sources, tmp_path / "m.json", seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    told = json.loads(first)["provenance"]
    assert told["sources"] == [
        [Path(name).name for name in part] for part in (sources[:2], sources[2:])
    ]
    assert told["recipe"]["training"]["steps"] == 60
    assert told["seed"] == 3
    assert told["diverged_after_steps"] is None


class _Interrupted(Exception):
    pass


@pytest.mark.parametrize("after", [10, 30, 50])
def test_an_interrupted_training_goes_on_to_the_same_bytes(sources, tmp_path, after):
    whole = _make(sources, tmp_path / "whole.json")
    states, output = tmp_path / "states", tmp_path / "m.json"
    steps = []

    def interrupt(_part, step, _total):
        if step == after:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        _make(sources, output, checkpoint_dir=str(states), progress=interrupt)
    assert not output.exists()
    resumed = _make(
        sources, output, checkpoint_dir=str(states), progress=lambda _, step, __: steps.append(step)
    )
    assert steps[0] == after // 20 * 20 + 10, "it goes on from the last draw"
    assert resumed == whole
    # A third time there is nothing left to do.
    assert _make(sources, output, checkpoint_dir=str(states), progress=interrupt) == whole


def test_states_of_another_training_are_not_mixed_in(sources, tmp_path):
    states = str(tmp_path / "states")
    _make(sources, tmp_path / "m.json", checkpoint_dir=states)
    assert str(tmp_path) not in (tmp_path / "states" / "training.json").read_text()
    with pytest.raises(UsageError, match="other volumes or settings"):
        _make(sources, tmp_path / "m.json", checkpoint_dir=states, seed=1)
    with pytest.raises(UsageError, match="other volumes or settings"):
        _make(sources[::-1], tmp_path / "m.json", checkpoint_dir=states)


def test_checkpoints_without_orbax_name_the_extra(sources, tmp_path, monkeypatch):
    real = builtins.__import__

    def without_orbax(name, *args, **kwargs):
        if name.startswith("orbax"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_orbax)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxslice\[train\]'"):
        _make(sources, tmp_path / "m.json", checkpoint_dir=str(tmp_path / "states"))
    _make(sources, tmp_path / "m.json")


def test_training_starts_from_a_model(sources, tmp_path):
    start = ModelFile("start", TINY, random_network(TINY, seed=1), {})
    model_file.save(tmp_path / "start.json", start)
    still = dataclasses.replace(SHORT.training, learning_rate=0.0)
    made = tmp_path / "m.json"
    _make(
        sources, made, recipe=dataclasses.replace(SHORT, training=still),
        start=str(tmp_path / "start.json"),
    )  # fmt: skip
    weights = model_file.load(str(made)).network.weights
    for layer, (got, want) in enumerate(zip(weights, start.network.weights, strict=True)):
        kept = slice(None, None if layer else -LINEAR_UNITS)
        np.testing.assert_array_equal(got[kept], want[kept])
    again = tmp_path / "again.json"
    _make(sources, again, recipe=dataclasses.replace(SHORT, training=still), start=str(made))
    assert model_file.load(str(again)).fingerprint == model_file.load(str(made)).fingerprint
    with pytest.raises(UsageError, match="architecture is another"):
        _make(sources, made, architecture=FULL, start=str(tmp_path / "start.json"))


def test_a_training_that_diverges_says_so(sources, tmp_path):
    wild = dataclasses.replace(SHORT.training, learning_rate=float("nan"))
    _make(sources, tmp_path / "m.json", recipe=dataclasses.replace(SHORT, training=wild))
    assert model_file.load(str(tmp_path / "m.json")).provenance["diverged_after_steps"] == 0


def test_groups_count_the_same_however_large(sources):
    volumes = [[open_source(path) for path in group] for group in (sources[:2], sources[2:])]
    styles, again, other = (
        recipe_module.draw_styles(volumes, SHORT, 0, draw, TINY) for draw in (0, 0, 1)
    )
    assert styles.data.extents.shape == (8, 3)
    assert styles.fits.bias.shape == (4,)
    assert (np.asarray(styles.data.extents)[4:, 0] == 1).all(), "of the group of one slice"
    symbols = [np.asarray(drawn.data.symbols).tobytes() for drawn in (styles, again, other)]
    assert symbols[0] == symbols[1] != symbols[2]


@pytest.mark.parametrize(("mixed", "alike"), [(0.0, True), (1.0, False)])
def test_patches_of_a_style_are_changed_alike(sources, mixed, alike):
    wanted = dataclasses.replace(
        SHORT, mixed=mixed, patches_per_style=20,
        augmentation=dataclasses.replace(NOTHING, contrast=0.5),
    )  # fmt: skip
    np.save(sources[0], np.full((12, 40, 40), 100, np.uint8) + np.eye(40, dtype=np.uint8))
    volume = open_source(sources[0])
    contrasts = [
        {int(patch.max()) for patch in recipe_module._draw_style(volume, wanted, generator)}
        for generator in map(np.random.default_rng, range(5))
    ]
    assert all((len(levels) <= 2) == alike for levels in contrasts)


def test_an_existing_model_is_kept_unless_overwrite(sources, tmp_path):
    output = tmp_path / "m.json"
    output.write_text("mine")
    called = []
    with pytest.raises(UsageError, match="expected a new name or --overwrite"):
        _make(sources, output, overwrite=False, progress=lambda *step: called.append(step))
    assert output.read_text() == "mine"
    assert not called, "nothing was trained"


def test_a_place_that_cannot_be_written_is_found_before_training(sources, tmp_path):
    called = []
    for place in (tmp_path, tmp_path / "none" / "m.json", Path(sources[0]) / "m.json"):
        with pytest.raises(UsageError, match=r"Cannot create|is a folder"):
            _make(sources, place, progress=lambda *step: called.append(step))
    assert not called


def test_a_file_that_appears_during_training_is_kept(sources, tmp_path):
    output = tmp_path / "m.json"
    made = make_model(
        [sources], str(output), TINY, SHORT, progress=lambda *_: output.write_text("theirs")
    )
    assert output.read_text() == "theirs"
    assert model_file.load(made.name).fingerprint == made.fingerprint


def test_progress_never_passes_the_number_of_steps(sources, tmp_path):
    seen = []
    recipe = dataclasses.replace(SHORT, training=dataclasses.replace(SHORT.training, steps=1))
    _make(sources, tmp_path / "m.json", recipe=recipe, progress=lambda *step: seen.append(step[1:]))
    assert seen == [(1, 1)]


def test_nothing_to_train_on(tmp_path):
    for groups in ([], [[]]):
        with pytest.raises(UsageError, match="no volumes"):
            make_model(groups, str(tmp_path / "m.json"))


def test_models_are_trained_on_8_bits(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((4, 8, 8), np.uint16))
    with pytest.raises(UsageError, match="of uint16, expected uint8: a model"):
        make_model([[str(tmp_path / "v.npy")]], str(tmp_path / "m.json"))


def test_recipes_of_the_command_line():
    assert recipe_module.recipe_of(None, True) == Recipe()
    changed = recipe_module.recipe_of(70, False)
    assert changed.training.steps == 70
    assert changed.augmentation == NOTHING != Augmentation()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"styles_per_group": 0}, "styles_per_group 0"),
        ({"steps_per_draw": 15}, "draws of 15"),
        ({"training": TrainingConfig(steps=0)}, "Got 0 steps"),
    ],
)
def test_impossible_recipes_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SHORT, **changes)


def test_no_secret_is_in_a_model(tmp_path):
    volume = synthetic_volume((6, 30, 30))
    box = Box.of_shape(volume.shape)
    with create_destination(tmp_path / "v", box, (1.0, 1.0, 1.0)) as written:
        written.write(box, volume)
    model_file.save(tmp_path / "s.json", ModelFile("s", TINY, random_network(TINY, seed=1), {}))
    output = tmp_path / "m.json"
    with serve_folder(tmp_path) as url:
        make_model(
            [[f"{url}/v?X-Amz-Signature=SECRET"]], str(output), TINY, SHORT,
            start=str(tmp_path / "s.json"),
        )  # fmt: skip
    provenance = json.loads(output.read_bytes())["provenance"]
    assert (provenance["sources"], provenance["start"]) == ([["v"]], "s.json")
    assert b"SECRET" not in output.read_bytes()
    assert str(tmp_path).encode() not in output.read_bytes()
