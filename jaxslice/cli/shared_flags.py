"""Flags that several commands have, each defined by one function.

absl groups flags by a module name. Here that name is the heading that `cli.help` prints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import flags

from jaxslice.cli.flag_types import (
    BoxParser,
    CommaSerializer,
    NumbersParser,
    ShapeParser,
    define_text,
)
from jaxslice.cli.terminal import note
from jaxslice.codec.engines.interface import NAMES as ENGINES
from jaxslice.core.errors import UsageError
from jaxslice.jobs.options import CompressOptions
from jaxslice.models.presets import CONTEXTS
from jaxslice.volumes import formats
from jaxslice.volumes.options import RawHeader, SourceOptions

if TYPE_CHECKING:
    from jaxslice.jobs.task import Executor

SOURCE, QUALITY, TRAINING = "What to read", "How well to compress", "How to train"
CHECKS = "Checks"
RESOURCES, OUTPUT = "Resources", "Output"

DEFAULTS = CompressOptions()
LARGEST_SEED = 2**32 - 1
MOST_WORKERS = 1024
MOST_BATCH_BLOCKS = 1024
MOST_STEPS = 10**8


def define_json(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(
        "json", False, "Print one JSON object on stdout instead of a table.", values,
        module_name=OUTPUT,
    )  # fmt: skip


def define_overwrite(values: flags.FlagValues, what: str) -> None:
    flags.DEFINE_boolean(
        "overwrite", DEFAULTS.overwrite, f"Replace {what} if it exists.", values,
        module_name=OUTPUT,
    )  # fmt: skip


def define_bbox(values: flags.FlagValues) -> None:
    flags.DEFINE(
        BoxParser(), "bbox", DEFAULTS.bbox,
        "Voxels to take, in global coordinates. Default: the whole volume.",
        values, flags.ArgumentSerializer(), module_name=SOURCE,
    )  # fmt: skip


def define_source(values: flags.FlagValues) -> None:
    """How a source is opened: the flags of `source_options`."""
    flags.DEFINE_enum(
        "source_format", None, formats.keys(),
        "Format of the source. Default: what its name and first bytes say.",
        values, module_name=SOURCE,
    )  # fmt: skip
    define_text(
        values, "scale", str(DEFAULTS.scale), "Scale of the source, by index or key.", SOURCE
    )
    define_text(
        values, "dataset", None,
        "Path of an array inside an HDF5 or .npz file, or a Zarr or N5 group. Default: the only "
        "one, or the first image.", SOURCE,
    )  # fmt: skip
    define_text(
        values, "channel", None,
        "Channel, by index or name, of a source that has several. Default: the only one.", SOURCE,
    )  # fmt: skip
    flags.DEFINE_integer(
        "time", None, "Time, by index, of a source that has several. Default: the only one.",
        0, None, values, module_name=SOURCE,
    )  # fmt: skip
    flags.DEFINE(
        NumbersParser(), "voxel_size", None,
        "Size of a voxel in nm, z,y,x. Default: what the source says.",
        values, CommaSerializer(), module_name=SOURCE,
    )  # fmt: skip
    define_missing(values)
    flags.DEFINE(
        ShapeParser(), "raw_shape", None,
        "Shape of a source without a header, x fastest. Default: what the header says.",
        values, CommaSerializer(), module_name=SOURCE,
    )  # fmt: skip
    define_text(
        values, "raw_dtype", "uint8",
        "Its voxels, as NumPy names them: uint8, or >u2 for big-endian 16 bits.", SOURCE,
    )  # fmt: skip
    flags.DEFINE_integer(
        "raw_skip_bytes", 0, "Bytes before its first voxel.", 0, None, values, module_name=SOURCE
    )


def define_missing(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "missing", DEFAULTS.missing, ["error", "zero"],
        "A chunk that the source does not have is an error, or is read as zeros. Zarr and N5 say "
        "themselves what such a chunk holds.",
        values, module_name=SOURCE,
    )  # fmt: skip


def source_options(values: flags.FlagValues) -> SourceOptions:
    """How a source is opened, from the flags of `define_source`.

    Raises:
      UsageError: a value that cannot be.
    """
    raw = None
    if values.raw_shape is not None:
        raw = RawHeader(values.raw_shape, values.raw_dtype, values.raw_skip_bytes)
    elif not (values["raw_dtype"].using_default_value and values.raw_skip_bytes == 0):
        raise UsageError("Got --raw_dtype or --raw_skip_bytes without --raw_shape, expected both.")
    return SourceOptions(
        values.scale, values.missing, values.source_format, values.dataset, values.channel,
        values.time, values.voxel_size, raw,
    )  # fmt: skip


def define_resume(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(
        "resume", DEFAULTS.resume,
        "Go on with what an interrupted run of the same command left; otherwise remove that.",
        values, module_name=OUTPUT,
    )  # fmt: skip


def define_seed(values: flags.FlagValues, what: str, group: str) -> None:
    flags.DEFINE_integer(
        "seed", DEFAULTS.seed, f"Seed of {what}.", 0, LARGEST_SEED, values, module_name=group
    )


def define_network(values: flags.FlagValues) -> None:
    """The flags of how a volume is compressed that `compress` and `bench` share."""
    define_text(
        values, "model", DEFAULTS.model,
        "Model to start from: default, medium, large or a file that `jaxslice train` wrote. "
        "Default: the model of the effort.", QUALITY,
    )  # fmt: skip
    flags.DEFINE_enum(
        "context", DEFAULTS.context, list(CONTEXTS),
        "Voxels that a prediction may read: all that the model reads, or the 4 previous slices "
        "alone, for which a network is trained from scratch.",
        values, module_name=QUALITY,
    )  # fmt: skip
    flags.DEFINE(
        ShapeParser(), "block_shape", DEFAULTS.block_shape,
        "Largest size of a block. Default: about 64,256,256, or 128,256,256 at efforts 2 and 3, "
        "and longer where the volume has fewer slices.",
        values, CommaSerializer(), module_name=QUALITY,
    )  # fmt: skip
    flags.DEFINE_integer(
        "training_steps", DEFAULTS.training_steps,
        "Optimiser steps of each network. Default: the number of the effort.",
        1, MOST_STEPS, values, module_name=QUALITY,
    )  # fmt: skip
    define_seed(values, "training and of the choice of samples", QUALITY)


def define_workers(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "workers", DEFAULTS.workers,
        "Threads that compute. Default: one for each core, or two for each accelerator.",
        1, MOST_WORKERS, values, module_name=RESOURCES,
    )  # fmt: skip


def define_executor(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "executor", "threads", ["threads", "dask"],
        "What runs the tasks: threads of this process, or workers of a Dask cluster.",
        values, module_name=RESOURCES,
    )  # fmt: skip
    define_text(
        values, "dask_scheduler", None,
        "With --executor=dask: address of the scheduler, such as tcp://host:8786. Default: a "
        "cluster of processes on this machine, one for each core or --workers.", RESOURCES,
    )  # fmt: skip


def define_multihost(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean(
        "multihost", False,
        "This process is one of several that JAX connects, one for each host of a TPU or GPU pod; "
        "each encodes its own part. How many there are says the cluster.",
        values, module_name=RESOURCES,
    )  # fmt: skip
    define_text(
        values, "jax_coordinator", None,
        "With --multihost: HOST:PORT at which the first process answers, where the cluster does "
        "not say; needs --num_shards and --shard_index. Default: what the cluster says.",
        RESOURCES,
    )  # fmt: skip


@contextlib.contextmanager
def executor_of(values: flags.FlagValues) -> Iterator[Executor | None]:
    """The executor, from the flags of `define_executor`; None for threads.

    Raises:
      UsageError: a scheduler without --executor=dask, or one that does not answer.
    """
    if values.executor == "threads":
        if values.dask_scheduler is not None:
            raise UsageError("Got --dask_scheduler without --executor=dask, expected both.")
        yield None
        return
    from jaxslice.jobs.executors.dask_cluster import dask_executor

    with dask_executor(values.dask_scheduler, values.workers) as executor:
        note(f"Dask dashboard: {executor.dashboard}")
        yield executor


def define_job_shard(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "num_shards", None,
        "Parts that the jobs of an array share the work in; 1 for the whole work in this process. "
        "Default: as many as the array of SLURM, AWS Batch, Google Batch or LSF that this process "
        "belongs to has.",
        1, None, values, module_name=RESOURCES,
    )  # fmt: skip
    flags.DEFINE_integer(
        "shard_index", None,
        "The part that this process runs, from 0. Default: its place in the array, also of "
        "Kubernetes or PBS. No Zarr shard is divided.",
        0, None, values, module_name=RESOURCES,
    )  # fmt: skip


def define_log_blocks(values: flags.FlagValues) -> None:
    define_text(
        values, "log_blocks", None,
        "Local file that gets one JSON record for each block at its end: index, bytes, seconds, "
        "network. Default: none.", OUTPUT,
    )  # fmt: skip


def define_engine(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "engine", DEFAULTS.engine, list(ENGINES),
        "What runs the march: auto is native on CPUs where it was built, otherwise xla. All "
        "engines make the same bytes.",
        values, module_name=RESOURCES,
    )  # fmt: skip


def define_batch_blocks(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "batch_blocks", DEFAULTS.batch_blocks,
        "Blocks that run together on one device; more need more memory. Default: 1 on a CPU, 16 "
        "on an accelerator, and fewer where memory is short.",
        1, MOST_BATCH_BLOCKS, values, module_name=RESOURCES,
    )  # fmt: skip
