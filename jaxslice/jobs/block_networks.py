"""Where the networks of single blocks come from."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from jaxslice.archive.model import model_of
from jaxslice.archive.store import Archive
from jaxslice.core.box import Triple
from jaxslice.core.types import Volume
from jaxslice.training.config import TrainingConfig


@runtime_checkable
class BlockNetworks(Protocol):
    """Where the networks of single blocks come from. Implementations are frozen and pickle."""

    def batches_at_once(self) -> int:
        """Batches that one task should hold."""
        ...

    def differences(
        self,
        archive: Archive,
        indices: Sequence[Triple],
        voxels: Sequence[Volume],
        stop: threading.Event,
    ) -> list[bytes | None]:
        """For each block the difference of its network to the base network, or None."""
        ...


@dataclasses.dataclass(frozen=True)
class BlockTraining:
    """Trains a network for each block, on the block alone (Hinkle et al. 2020).

    Attributes:
      config: of each training.
      seed: of the volume's first block.
    """

    config: TrainingConfig
    seed: int

    def batches_at_once(self) -> int:
        """A batch for every device that trains."""
        import jax

        return len(jax.local_devices())

    def differences(
        self,
        archive: Archive,
        indices: Sequence[Triple],
        voxels: Sequence[Volume],
        stop: threading.Event,
    ) -> list[bytes | None]:
        """See `BlockNetworks.differences`."""
        import jax

        from jaxslice.training.block_networks import train_block_networks

        model = model_of(archive.configuration)
        seeds = [self.seed + int(np.ravel_multi_index(i, archive.grid_shape)) for i in indices]
        return train_block_networks(
            voxels, model.network, model.architecture, self.config, seeds, jax.local_devices(), stop
        )
