"""`jaxslice compress`: a volume into a new archive."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from jaxslice.cli import backend, dry_run, metrics, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import (
    CommaSerializer,
    EffortParser,
    ScalesParser,
    ShapeParser,
    define_text,
)
from jaxslice.cli.shared_flags import CHECKS, DEFAULTS, QUALITY
from jaxslice.cli.terminal import note, print_report, progress_display, warnings_in_one_line
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress
from jaxslice.jobs.effort import NAMED, effort_named
from jaxslice.jobs.job_shard import JobShard, job_shard
from jaxslice.jobs.options import (
    LOSSY_CHOICES,
    MOST_SCALES,
    VERIFY_CHOICES,
    CompressOptions,
    Following,
)

if TYPE_CHECKING:
    from jaxslice.volumes.interface import Source

FOLLOWING = Following()


def define_flags(values: flags.FlagValues) -> None:
    """The flags of what is compressed and how, which `plan` has as well."""
    shared_flags.define_bbox(values)
    shared_flags.define_source(values)
    flags.DEFINE(
        ScalesParser(), "scales", DEFAULTS.scales,
        "Scales of the source to keep together, by index or key, the finest first; or all.",
        values, CommaSerializer(), module_name=shared_flags.SOURCE,
    )  # fmt: skip
    flags.DEFINE_integer(
        "downsample", DEFAULTS.downsample,
        "Coarser scales to make of the last one by mean pooling, for viewers to zoom.",
        0, MOST_SCALES, values, module_name=shared_flags.SOURCE,
    )  # fmt: skip
    flags.DEFINE(
        EffortParser(tuple(NAMED)), "effort", DEFAULTS.effort,
        "fast fits linear predictors to samples of the volume, for speed; 0 fits a shipped network "
        "to samples, without training; 1 tunes it on more of them; 2 takes a larger network and "
        "also trains one for each block where that pays; 3 trains longer, with the largest "
        "network.",
        values, flags.ArgumentSerializer(), module_name=QUALITY,
    )  # fmt: skip
    shared_flags.define_network(values)
    flags.DEFINE(
        ShapeParser(), "shard_shape", DEFAULTS.shard_shape,
        "Largest size of a shard, an object that holds whole blocks, so that a large archive has "
        "fewer objects. Default: each block is an object, or 128 from a million blocks on.",
        values, CommaSerializer(), module_name=QUALITY,
    )  # fmt: skip
    flags.DEFINE_enum(
        "lossy_source", DEFAULTS.lossy_source, list(LOSSY_CHOICES),
        "A source coded with loss, such as JPEG, whose voxels take more bytes than its chunks: "
        "refuse it, or keep its voxels exactly.",
        values, module_name=CHECKS,
    )  # fmt: skip
    shared_flags.define_engine(values)
    shared_flags.define_workers(values)
    shared_flags.define_batch_blocks(values)
    shared_flags.define_overwrite(values, "the archive at ARCHIVE")
    shared_flags.define_resume(values)
    shared_flags.define_json(values)


def _define_flags(values: flags.FlagValues) -> None:
    define_flags(values)
    flags.DEFINE_boolean(
        "follow", False,
        "SOURCE is a folder that a microscope fills: take pictures as they arrive, and extend the "
        "archive by each complete layer of blocks. The same command goes on after an interruption.",
        values, module_name=shared_flags.SOURCE,
    )  # fmt: skip
    define_text(
        values, "marker", FOLLOWING.marker,
        "With --follow: name of a file in the folder that says that all slices are there.",
        shared_flags.SOURCE,
    )  # fmt: skip
    flags.DEFINE_float(
        "quiet_seconds", FOLLOWING.quiet_seconds,
        "With --follow: time without a new slice, after which no more are expected.",
        1.0, None, values, module_name=shared_flags.SOURCE,
    )  # fmt: skip
    flags.DEFINE_enum(
        "verify", DEFAULTS.verify, list(VERIFY_CHOICES),
        "Blocks that are decoded again before they are written: all, one in eight, or none. With "
        "all they are also read back afterwards.",
        values, module_name=CHECKS,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "paranoid", DEFAULTS.paranoid,
        "Also decode every block by a second, different engine before it is written.",
        values, module_name=CHECKS,
    )  # fmt: skip
    shared_flags.define_executor(values)
    shared_flags.define_job_shard(values)
    shared_flags.define_multihost(values)
    dry_run.define_flags(values)
    shared_flags.define_log_blocks(values)
    metrics.define_flags(values)


def _run(values: flags.FlagValues, source: str, archive: str) -> dict[str, Any]:
    import jaxslice
    from jaxslice.jobs.follow import follow
    from jaxslice.jobs.scales import open_sources

    reading, options = shared_flags.source_options(values), options_of(values, values.verify)
    options = dataclasses.replace(options, log_blocks=values.log_blocks)
    dry_run.check_flags(values)
    shard = None if values.dry_run else _shard_of(values)
    if shard and values.follow:
        raise UsageError("Got --follow in an array of jobs, expected it with --num_shards=1.")
    if not values.dry_run:
        places.check_destination(archive, values.overwrite or values.follow or shard is not None)
    # Tuning runs on JAX, whatever runs the march.
    backend.start_backend("xla" if effort_named(options.effort).tuning else options.engine)
    with (
        progress_display() as shown,
        metrics.exported(values, "compress", shown) as progress,
        warnings_in_one_line(),
    ):
        if values.follow:
            depth = (values.block_shape or (FOLLOWING.depth,))[0]
            following = Following(values.marker, values.quiet_seconds, depth=depth)
            return follow(source, archive, options, following, reading, progress).to_json()
        opened = open_sources(source, options, reading)
        if values.dry_run:
            return dry_run.run(values, opened, archive, options, progress)
        if shard:
            return _compress_shard(opened, archive, shard, options, progress)
        with shared_flags.executor_of(values) as executor:
            return jaxslice.compress(opened, archive, options, progress, executor).to_json()


def _shard_of(values: flags.FlagValues) -> JobShard | None:
    """The part that this process encodes, if not all."""
    if not values.multihost:
        if values.jax_coordinator is not None:
            raise UsageError("Got --jax_coordinator without --multihost, expected both.")
        return job_shard(values.num_shards, values.shard_index, os.environ)
    from jaxslice.jobs.multihost import start_process

    numbers = values.num_shards, values.shard_index
    if len({value is None for value in (values.jax_coordinator, *numbers)}) > 1:
        raise UsageError(
            f"Got --jax_coordinator={values.jax_coordinator} with --num_shards={numbers[0]} and "
            f"--shard_index={numbers[1]}, expected all three, or none where the cluster says them."
        )
    return start_process(values.jax_coordinator, job_shard(*numbers, {}))


def options_of(values: flags.FlagValues, verify: str = DEFAULTS.verify) -> CompressOptions:
    """The options, from the flags of `define_flags`."""
    return CompressOptions(
        bbox=values.bbox,
        scales=values.scales,
        downsample=values.downsample,
        block_shape=values.block_shape,
        shard_shape=values.shard_shape,
        effort=values.effort,
        model=values.model,
        context=values.context,
        seed=values.seed,
        verify=verify,
        paranoid=values.paranoid,
        overwrite=values.overwrite,
        resume=values.resume,
        lossy_source=values.lossy_source,
        training_steps=values.training_steps,
        engine=values.engine,
        workers=values.workers,
        batch_blocks=values.batch_blocks,
    )


def _compress_shard(
    opened: Sequence[Source], archive: str, shard: JobShard, options: CompressOptions,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Runs one part, and says what it is and what is left to do."""
    from jaxslice.jobs.compress_shard import compress_shard

    named = f" of the array of {shard.named_by}" if shard.named_by else ""
    note(
        f"Job shard {shard.index} of {shard.count}{named}: this process encodes a part of the "
        "volume; --num_shards=1 encodes all of it."
    )
    report = compress_shard(opened, archive, shard, options, progress).to_json()
    if not report["complete"]:
        note(
            f"{archive!r} is not complete yet: the last job shard completes it, or "
            f"`jaxslice seal {archive}` when all are done."
        )
    return report


COMMAND = Command(
    name="compress",
    arguments=("SOURCE", "ARCHIVE"),
    description="Compresses the volume at SOURCE into a new archive at ARCHIVE: a folder, or a "
    "gs:// or s3:// URL. The archive is a Zarr store that holds the exact voxels.",
    examples=(
        "jaxslice compress volume.npy volume.zarr",
        "jaxslice compress volume.npy volume.zarr --effort=fast",
        "jaxslice compress gs://bucket/em/volume volume.zarr --scale=1 --effort=2",
        "jaxslice compress 'slices/*.tif' volume.zarr --voxel_size=40,4,4",
        "jaxslice compress slices volume.zarr --follow --quiet_seconds=600",
        "jaxslice compress volume.h5 volume.zarr --dataset=em/raw",
        "jaxslice compress volume.npy volume.zarr --downsample=4",
        "jaxslice compress volume.npy volume.zarr --dry_run --price_per_core_hour=0.04",
        "jaxslice compress volume.npy volume.zarr --effort=0 --bbox=0:64,0:512,0:512",
    ),
    define_flags=_define_flags,
    run=_run,
    show=lambda report: dry_run.show(report) if "dry_run" in report else print_report(report),
    output=lambda _values, _source, archive: archive,
    after_interrupt=lambda _values, _source, archive: places.after_interrupted_job(archive),
)
