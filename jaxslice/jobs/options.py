"""The options of `compress`."""

from __future__ import annotations

import dataclasses
import math

from jaxslice.codec.engines.interface import AUTO, NAMES
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.whole_numbers import three_whole, whole
from jaxslice.jobs.block_shape import LARGEST_BLOCK_AXIS
from jaxslice.jobs.effort import FAST, effort_named
from jaxslice.models.presets import CONTEXTS

LOSSY_CHOICES = ("refuse", "allow")
VERIFY_CHOICES = ("all", "sample", "none")
LARGEST_BLOCK_VOXELS = 1 << 28
MOST_SCALES = 31


@dataclasses.dataclass(frozen=True)
class CompressOptions:
    """How to compress a volume.

    Attributes:
      bbox: the voxels to compress, in global coordinates; all if None.
      scale: of a precomputed volume, by index or key.
      scales: several of them instead, the finest first, or ("all",): one archive holds them.
      downsample: how many further scales are made of the coarsest one by mean pooling; fewer where
        the volume has nothing to halve any more.
      block_shape: largest z, y, x of a block, see `block_shape.fitted_block_shape`; if None,
        `block_shape.default_block_shape` of the effort's depth.
      shard_shape: largest z, y, x of a shard, an object that holds whole blocks; None for an
        object for each block.
      effort: "fast" fits linear predictors to samples of the volume; 0 fits a shipped network to
        samples in closed form; 1 also tunes it on more of them; 2 starts from a larger network and
        also trains one for each block, where that pays; 3 trains longer, with the largest network.
      model: `default`, `medium`, `large` or the path of a model that `train` wrote; None for the
        effort's.
      context: "full": the model's own; or "slices": the 4 previous slices alone (Hinkle et al.
        2020). No model of it is shipped, so that effort 1 and above train one from scratch.
      seed: of training and of samples, from 0.
      verify: "all" decodes every block again before it is written and reads it back afterwards,
        "sample" decodes one block in eight.
      paranoid: whether a second, different engine also decodes every block before it is written.
        The archive says which.
      overwrite: whether an archive that is there may be replaced.
      missing: "error", or "zero" to take missing chunks of the source as black.
      lossy_source: "refuse" a source whose chunks were coded with loss where that takes fewer bytes
        than its voxels will, or "allow" it.
      training_steps: optimiser steps of every network; None for the effort's own numbers.
      workers: threads that compute; None for one for each core, or each accelerator.
      batch_blocks: blocks that run together on one device; None for 1 on a CPU, 16 elsewhere.
      engine: what runs the march: `auto`, or the name of an engine. The bytes are the same.
      resume: whether to go on with what an interrupted run of the same job left; otherwise that
        is removed.
      log_blocks: path of a local file that gets one JSON record for each block, on a line of its
        own, at its end.
    """

    bbox: Box | None = None
    scale: int | str = 0
    scales: tuple[int | str, ...] = ()
    downsample: int = 0
    block_shape: Triple | None = None
    shard_shape: Triple | None = None
    effort: int | str = 1
    model: str | None = None
    context: str = "full"
    seed: int = 0
    verify: str = "all"
    paranoid: bool = False
    overwrite: bool = False
    missing: str = "error"
    lossy_source: str = "refuse"
    training_steps: int | None = None
    workers: int | None = None
    batch_blocks: int | None = None
    engine: str = AUTO
    resume: bool = True
    log_blocks: str | None = None

    def __post_init__(self):
        """Refuses what cannot be done (UsageError)."""
        self._make_numbers_whole()
        effort_named(self.effort)
        for name, default in (("model", None), ("context", "full"), ("training_steps", None)):
            if self.effort == FAST and getattr(self, name) != default:
                raise UsageError(
                    f"Got {name} {getattr(self, name)!r} with effort {FAST!r}, expected none: a "
                    "linear predictor has no model and is not trained."
                )
        if self.context not in CONTEXTS:
            raise UsageError(f"Got context {self.context!r}, expected one of {list(CONTEXTS)}.")
        if self.context != "full" and (self.model is not None or self.effort == 0):
            got = f"model {self.model!r}" if self.model is not None else "effort 0"
            raise UsageError(
                f"Got context {self.context!r} with {got}, expected neither a model nor effort 0: "
                "for this context a network is trained from scratch."
            )
        if self.scales and (self.bbox or str(self.scale) != "0"):
            raise UsageError(
                f"Got the scales {self.scales} with a bbox or the scale {self.scale!r}, expected "
                "either the one or the other: whole scales are taken."
            )
        if not 0 <= self.downsample <= MOST_SCALES:
            raise UsageError(f"Got downsample {self.downsample}, expected 0 to {MOST_SCALES}.")
        if self.shard_shape and not all(n >= 1 for n in self.shard_shape):
            raise UsageError(f"Got the shard shape {self.shard_shape}, expected at least 1 voxel.")
        if self.verify not in VERIFY_CHOICES:
            raise UsageError(f"Got verify {self.verify!r}, expected one of {VERIFY_CHOICES}.")
        if self.lossy_source not in LOSSY_CHOICES:
            raise UsageError(
                f"Got lossy_source {self.lossy_source!r}, expected one of {LOSSY_CHOICES}."
            )
        if self.engine not in NAMES:
            raise UsageError(f"Got the engine {self.engine!r}, expected one of {', '.join(NAMES)}.")
        largest = self.block_shape or (1, 1, 1)
        fits = all(1 <= n <= LARGEST_BLOCK_AXIS for n in largest)
        if not fits or math.prod(largest) > LARGEST_BLOCK_VOXELS:
            raise UsageError(
                f"Got the block shape {self.block_shape}, expected 1 to {LARGEST_BLOCK_AXIS} voxels"
                f" along z, y and x, and at most {LARGEST_BLOCK_VOXELS} in all."
            )
        for name in ("training_steps", "workers", "batch_blocks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"Got {name} {value}, expected at least 1.")

    def _make_numbers_whole(self) -> None:
        for name in ("downsample", "seed", "training_steps", "workers", "batch_blocks"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole(value, name))
        for name in ("block_shape", "shard_shape"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, three_whole(value, f"the {name}"))
        for name in ("scale", "effort"):
            if not isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, whole(value, name))
        scales = [s if isinstance(s, str) else whole(s, "a scale") for s in self.scales]
        object.__setattr__(self, "scales", tuple(scales))


@dataclasses.dataclass(frozen=True)
class Following:
    """When slices are taken, and when no more are expected.

    Attributes:
      marker: name of a file in the folder that says that all slices are there.
      quiet_seconds: without a new slice, after which no more are expected.
      poll_seconds: between two looks at the folder. A file is whole when it has not grown in
        between and can be decoded.
      depth: slices of a layer: so many wait at most for others.
    """

    marker: str = "done"
    quiet_seconds: float = 3600.0
    poll_seconds: float = 2.0
    depth: int = 64
