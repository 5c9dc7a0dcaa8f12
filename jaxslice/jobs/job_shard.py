"""Job shards: the parts of a compression that the tasks of a batch system's array run.

A job shard is a range of the objects that an archive stores, so that no object is written by two of
them. It is not to be confused with a shard of Zarr, which is such an object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from jaxslice.core.errors import UsageError

Environment = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class JobShard:
    """One part of a compression.

    Attributes:
      index: of the part, from 0.
      count: parts that there are.
      named_by: what said so, for messages; "" for the flags.
    """

    index: int
    count: int
    named_by: str = ""

    def __post_init__(self):
        """Refuses a part that is not there (UsageError)."""
        if self.count < 1 or not 0 <= self.index < self.count:
            raise UsageError(
                f"Got shard index {self.index} of {self.count} job shards, expected 0 to "
                f"{self.count - 1}."
            )

    def range_of(self, num_objects: int) -> range:
        """The numbers of the stored objects that this part writes, in the order of the archive."""
        start, stop = (num_objects * n // self.count for n in (self.index, self.index + 1))
        return range(start, stop)


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a batch system's variables say; None for what they do not say."""

    system: str
    index: int
    count: int | None


def job_shard(
    num_shards: int | None, shard_index: int | None, environment: Environment
) -> JobShard | None:
    """The part to run, by flags or else by the variables of a batch system.

    Args:
      num_shards: parts, if requested; 1 for the whole work whatever the variables say.
      shard_index: of the part, if requested.
      environment: variables of the process.

    Returns:
      None for the whole work.

    Raises:
      UsageError: one of the numbers is not known, or they do not agree.
    """
    if num_shards == 1 and not shard_index:
        return None
    if num_shards is not None and shard_index is not None:
        return JobShard(shard_index, num_shards)
    found = [one for read in _SYSTEMS if (one := read(environment)) and one.count != 1]
    if len({(one.index, one.count) for one in found}) > 1:
        raise UsageError(
            f"Got the array variables of {' and '.join(one.system for one in found)}, expected "
            "one of them, or --num_shards and --shard_index."
        )
    if not found:
        if num_shards is None and shard_index is None:
            return None
        raise UsageError(
            f"Got --num_shards={num_shards} and --shard_index={shard_index} and no array of a "
            "batch system, expected both flags."
        )
    return _completed(found[0], num_shards, shard_index)


def _completed(found: _Found, num_shards: int | None, shard_index: int | None) -> JobShard:
    count = num_shards or found.count
    if count is None:
        raise UsageError(
            f"Got index {found.index} of an array of {found.system}, which does not say how many "
            "there are; expected --num_shards, or --num_shards=1 for the whole volume."
        )
    if found.count is not None and found.count != count:
        raise UsageError(
            f"Got --num_shards={count} and an array of {found.count} by {found.system}, expected "
            "the same, or --shard_index as well."
        )
    index = found.index if shard_index is None else shard_index
    return JobShard(index, count, found.system)


def _slurm(env: Environment) -> _Found | None:
    name = "SLURM_ARRAY_TASK_"
    if f"{name}ID" not in env:
        return None
    task, count, first = (_number(env, name + key) for key in ("ID", "COUNT", "MIN"))
    if task is None or count is None or first is None:
        return None
    last, step = _number(env, f"{name}MAX"), _number(env, f"{name}STEP") or 1
    if last is not None and (last - first) // step + 1 != count:
        raise UsageError(
            f"Got a SLURM array of {count} tasks from {first} to {last}, expected all between "
            "them; or --num_shards and --shard_index."
        )
    return _Found("SLURM", (task - first) // step, count)


def _lsf(env: Environment) -> _Found | None:
    index, last = _number(env, "LSB_JOBINDEX"), _number(env, "LSB_JOBINDEX_END")
    # A job that is no array has the index 0.
    if not index or not last:
        return None
    if _number(env, "LSB_JOBINDEX_STEP") not in (None, 1):
        raise UsageError(
            "Got an LSF array with steps, expected one from 1 on; or --num_shards and "
            "--shard_index."
        )
    return _Found("LSF", index - 1, last)


def _plain(
    system: str, index_name: str, count_name: str = ""
) -> Callable[[Environment], _Found | None]:
    def read(env: Environment) -> _Found | None:
        index = _number(env, index_name)
        return None if index is None else _Found(system, index, _number(env, count_name))

    return read


_SYSTEMS: tuple[Callable[[Environment], _Found | None], ...] = (
    _slurm,
    _plain("Kubernetes", "JOB_COMPLETION_INDEX"),
    _plain("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    _plain("Google Batch", "BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
    _lsf,
    _plain("PBS", "PBS_ARRAY_INDEX"),
)
"""PBS does not say where an array begins: it must be at 0."""


def _number(env: Environment, name: str) -> int | None:
    text = env.get(name, "").strip()
    return int(text) if text.isdecimal() else None
