"""`jaxslice bench`: is this machine exact, and how fast is it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from jaxslice.cli import backend, places, shared_flags
from jaxslice.cli.command import Command
from jaxslice.cli.flag_types import CommaSerializer, EffortsParser, IntegersParser, define_text
from jaxslice.cli.shared_flags import MOST_BATCH_BLOCKS, OUTPUT
from jaxslice.cli.terminal import progress_display
from jaxslice.core.errors import UsageError
from jaxslice.core.writable import check_writable
from jaxslice.jobs.effort import NAMED
from jaxslice.jobs.options import CompressOptions

PEER_CHOICES = ("quick", "all", "none")
PLOT_SUFFIXES = (".png", ".pdf", ".svg")
_MEASURED = "What to measure"


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE(
        EffortsParser(tuple(NAMED)), "efforts", ("fast", 0, 1),
        "Efforts to measure, as of `jaxslice compress --effort`.",
        values, CommaSerializer(), module_name=_MEASURED,
    )  # fmt: skip
    flags.DEFINE(
        IntegersParser(1, MOST_BATCH_BLOCKS), "batches", None,
        "Numbers of blocks that run together on a device. Default: 1,4 on a CPU, 1,16,64 on an "
        "accelerator.",
        values, CommaSerializer(), module_name=_MEASURED,
    )  # fmt: skip
    flags.DEFINE_enum(
        "peers", "quick", list(PEER_CHOICES), "Other codecs to measure.", values,
        module_name=_MEASURED,
    )  # fmt: skip
    shared_flags.define_bbox(values)
    shared_flags.define_source(values)
    shared_flags.define_network(values)
    shared_flags.define_engine(values)
    shared_flags.define_workers(values)
    define_text(values, "output", None, "CSV file to write. Default: none.", OUTPUT)
    define_text(
        values, "plot", None,
        "Picture (.png, .pdf or .svg) to draw from the file at --output. Default: none.", OUTPUT,
    )  # fmt: skip
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, source: str | None = None) -> dict[str, Any]:
    options = CompressOptions(
        bbox=values.bbox,
        lossy_source="allow",
        block_shape=values.block_shape,
        model=values.model,
        context=values.context,
        seed=values.seed,
        training_steps=values.training_steps,
        engine=values.engine,
        workers=values.workers,
    )
    reading = shared_flags.source_options(values)
    _check_outputs(values)
    # Compiled programs are not kept, because the time of compiling is reported.
    backend.start_backend(keep_programs=False)
    from jaxslice.bench.bench import bench
    from jaxslice.volumes.source import open_source

    with progress_display() as progress:
        return bench(
            None if source is None else open_source(source, options=reading),
            efforts=values.efforts,
            batches=values.batches,
            with_peers=values.peers,
            output=values.output,
            plot=values.plot,
            options=options,
            progress=progress,
        )


def _check_outputs(values: flags.FlagValues) -> None:
    if values.plot is not None:
        if values.output is None:
            raise UsageError("bench: Got --plot without --output, expected the CSV to draw from.")
        if Path(values.plot).suffix not in PLOT_SUFFIXES:
            raise UsageError(
                f"bench: Got --plot={values.plot}, expected a name that ends in "
                f"{', '.join(PLOT_SUFFIXES)}."
            )
    for name in ("output", "plot"):
        place = values[name].value
        if place is not None:
            places.check_local(name, place)
            if Path(place).is_dir():
                raise UsageError(f"bench: Got --{name}={place}, which is a folder.")
            # The CSV is written first, and brings its folder into being.
            check_writable(place, make_parents=name == "output")


def _show(report: dict[str, Any]) -> None:
    from jaxslice.bench.report import print_bench

    print_bench(report)


COMMAND = Command(
    name="bench",
    arguments=("[SOURCE]",),
    description="Checks that this machine computes exactly, and measures rate and speed, with "
    "other codecs beside them. The volume must fit into memory; a synthetic one is used if no "
    "SOURCE is given.",
    examples=(
        "jaxslice bench",
        "jaxslice bench volume.npy --efforts=fast,0,1 --output=bench.csv --plot=bench.png",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda values, *_source: values.output or "",
    show=_show,
)
