"""`jaxslice train`: a model for `compress --model`, from volumes."""

from __future__ import annotations

from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import define_text
from jaxslice.cli.shared_flags import MOST_STEPS, OUTPUT, TRAINING
from jaxslice.cli.terminal import progress_display
from jaxslice.core.errors import UsageError
from jaxslice.core.writable import check_writable
from jaxslice.models.presets import PRESETS

STEPS = 8000
"""Of the recipe, whose module loads JAX."""


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "architecture", "default", list(PRESETS), "Architecture of the network.", values,
        module_name=TRAINING,
    )  # fmt: skip
    define_text(
        values, "init", None,
        "Model to start from, of the same architecture: default, medium, large or a file. "
        "Default: random weights.", TRAINING,
    )  # fmt: skip
    flags.DEFINE_integer(
        "steps", None, f"Optimiser steps. Default: {STEPS}.", 1, MOST_STEPS, values,
        module_name=TRAINING,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "augment", True, "Also train on patches changed as other microscopes would record them.",
        values, module_name=TRAINING,
    )  # fmt: skip
    shared_flags.define_seed(values, "the weights and of the choice of samples", TRAINING)
    define_text(values, "output", None, "File to write the model to. No default.", OUTPUT)
    shared_flags.define_overwrite(values, "the model at --output")
    define_text(
        values, "checkpoint_dir", None,
        "Folder to keep states of the training in; the same command goes on from them after an "
        "interruption. Default: none are kept.", OUTPUT,
    )  # fmt: skip
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, *sources: str) -> dict[str, Any]:
    import jaxslice

    if values.output is None:
        raise UsageError("train: Got no --output, expected the file to write the model to.")
    places.check_local("output", values.output)
    places.check_destination(values.output, values.overwrite)
    if values.checkpoint_dir is not None:
        places.check_local("checkpoint_dir", values.checkpoint_dir)
        check_writable(values.checkpoint_dir, make_parents=True)
    backend.start_backend()
    with progress_display() as progress:
        model = jaxslice.train(
            sources,
            values.output,
            architecture=values.architecture,
            steps=values.steps,
            augment=values.augment,
            seed=values.seed,
            init=values.init,
            checkpoint_dir=values.checkpoint_dir,
            overwrite=values.overwrite,
            progress=progress,
        )
    return {"model": model.name, "fingerprint": model.fingerprint, **model.provenance}


def _after_interrupt(values: flags.FlagValues, *_sources: str) -> str:
    if values.checkpoint_dir is None:
        return "No model was written."
    return (
        "No model was written; the same command goes on from the states in "
        f"{values.checkpoint_dir!r}."
    )


COMMAND = Command(
    name="train",
    arguments=("SOURCE...",),
    description="Trains a model on one or more volumes and writes it to --output. `jaxslice "
    "compress --model=FILE` starts from it.",
    examples=(
        "jaxslice train fly.npy mouse.npy --output=mine.json",
        "jaxslice train gs://bucket/em/volume --output=mine.json --init=default --steps=2000",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda values, *_sources: values.output or "",
    after_interrupt=_after_interrupt,
)
