"""Checkpoints of a training on disk (Orbax), from which an interrupted training continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax

from jaxslice.core.errors import MissingExtraError, UsageError
from jaxslice.training.train import TrainingState

_NOTE = "training.json"


class Checkpoints:
    """The checkpoints of one training in one folder."""

    def __init__(self, folder: str | Path, training: dict[str, Any]) -> None:
        """Opens a folder of checkpoints, or creates it.

        Args:
          folder: path of the folder.
          training: everything that the result depends on, as JSON. It is stored in the folder and
            compared when the folder is opened again.

        Raises:
          MissingExtraError: Orbax is not installed.
          UsageError: the folder holds checkpoints of another training, or cannot be used.
        """
        try:
            import orbax.checkpoint as ocp
        except ImportError:
            raise MissingExtraError(
                "Got a folder for checkpoints, but the package orbax-checkpoint is not installed. "
                "Install it with: pip install 'jaxslice[train]'."
            ) from None
        self._ocp = ocp
        path = Path(folder).absolute()
        note = path / _NOTE
        text = json.dumps(training, sort_keys=True)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if note.exists() and note.read_text() != text:
                raise UsageError(
                    f"Got the checkpoints {str(folder)!r} of a training with other volumes or "
                    "settings, expected those of this one, or an empty folder."
                )
            if not note.exists():
                # Written elsewhere and renamed: an incomplete file would make the folder unusable.
                partial = note.with_name(f"{_NOTE}.partial")
                partial.write_text(text)
                partial.replace(note)
        except OSError as error:
            raise UsageError(
                f"Got the checkpoints' folder {str(folder)!r}: {error.strerror}."
            ) from None
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(path / "states", options=options)

    def restore(self, like: TrainingState) -> TrainingState:
        """The last state that was saved completely; `like` if there is none.

        Args:
          like: a state with the same tree of shapes and dtypes.
        """
        step = self._manager.latest_step()
        if step is None:
            return like
        restored = self._manager.restore(step, args=self._ocp.args.StandardRestore(like))
        return jax.device_put(restored)

    def save(self, state: TrainingState) -> None:
        """Saves a state. It is on disk when this returns."""
        self._manager.save(int(state.step), args=self._ocp.args.StandardSave(state))

    def close(self) -> None:
        """Releases the folder."""
        self._manager.close()
