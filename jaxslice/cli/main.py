"""The command line: flags become options, options one call of the library, its report is printed.

Results go to stdout; progress and messages go to stderr. Exit codes: 0 done, 2 a usage that cannot
be carried out, 3 data that are damaged, 1 anything else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from jaxslice.cli.malloc import keep_memory
from jaxslice.core.box import Box, parse_shape
from jaxslice.core.errors import DeviceError, FormatError, MissingExtraError, UsageError

EXIT_FAILED, EXIT_USAGE, EXIT_DAMAGED = 1, 2, 3

USAGE = """\
Lossless compression of 3-D electron microscopy.

  jaxslice compress SOURCE ARCHIVE    a volume into a new archive
  jaxslice decompress ARCHIVE DEST    an archive into a new precomputed volume or .npy file
  jaxslice verify ARCHIVE             check that every block decodes (and equals --source)
  jaxslice info ARCHIVE               what an archive is
  jaxslice train SOURCE...            a network for `compress --model`, written to --output
  jaxslice demo                       see it all at work on a volume made here
  jaxslice bench [SOURCE]             is this machine exact, and how fast is it, with the peers

SOURCE is a neuroglancer precomputed volume (a folder, or a URL with file://, http://, https://,
gs:// or s3://) or a z,y,x .npy file of uint8. Flags:
"""

FLAGS = flags.FLAGS
flags.DEFINE_string("bbox", None, "z0:z1,y0:y1,x0:x1: voxels to take, in global coordinates.")
flags.DEFINE_string("scale", "0", "compress, verify: scale of the source, by index or key.")
flags.DEFINE_string(
    "block_shape",
    None,
    "compress: largest z,y,x of a block; if not given, about 64,256,256, or 128,256,256 at efforts "
    "2 and 3, and longer where the volume has fewer slices.",
)
flags.DEFINE_integer(
    "effort", 1,
    "compress: 0 fits the shipped network to samples of the volume in closed form, 1 tunes it on "
    "more of them, 2 takes a larger one and also trains a network for each block where that pays, "
    "3 does so longer with the largest.",
)  # fmt: skip
flags.DEFINE_string(
    "model", None,
    "compress: default, medium, large or the file of a model to start from; the effort's if none.",
)  # fmt: skip
flags.DEFINE_string("context", "full", "compress: full, or slices for the 4 previous slices alone.")
flags.DEFINE_integer(
    "seed", 0, "compress, train: seed of training and sampling. demo: of the volume."
)
flags.DEFINE_string(
    "verify", "all", "compress: all, sample or none of the blocks are decoded again at once."
)
flags.DEFINE_bool("overwrite", False, "Replace what stands at ARCHIVE or DEST.")
flags.DEFINE_string("missing", "error", "error, or zero to read missing source chunks as black.")
flags.DEFINE_string("source", None, "verify: compare with this volume. demo: use this volume.")
flags.DEFINE_bool("json", False, "Print one JSON object on stdout.")
flags.DEFINE_integer(
    "training_steps", None, "compress: optimiser steps of each network instead of the effort's."
)
flags.DEFINE_integer("steps", None, "train: optimiser steps; default the recipe's.")
flags.DEFINE_enum(
    "architecture",
    "default",
    ["default", "medium", "large", "slices"],
    "train: shape of the network.",
)
flags.DEFINE_string("init", None, "train: the model to start from, as for --model.")
flags.DEFINE_string(
    "checkpoint_dir", None, "train: folder to keep states in and to go on from after a break."
)
flags.DEFINE_bool("augment", True, "train: on pieces changed as other microscopes would have.")
flags.DEFINE_integer("workers", None, "Threads that compute; default one for each core.")
flags.DEFINE_integer("batch_blocks", None, "Blocks that run together on a device.")
flags.DEFINE_string(
    "output", None,
    "demo: folder for the archive and the pictures, default demo-output. train: the model's file. "
    "bench: CSV to write.",
)  # fmt: skip
flags.DEFINE_string("efforts", "0,1", "bench: efforts to measure.")
flags.DEFINE_string("batches", None, "bench: numbers of blocks to run together, such as 1,4.")
flags.DEFINE_enum("peers", "quick", ["quick", "all", "none"], "bench: other codecs to measure.")
flags.DEFINE_string("plot", None, "bench: picture to draw from the CSV at --output.")
_OWN_FLAGS = (
    "bbox", "scale", "block_shape", "effort", "model", "context", "seed", "verify", "overwrite",
    "missing", "source", "json", "training_steps", "workers", "batch_blocks", "output", "steps",
    "architecture", "init", "checkpoint_dir", "augment", "efforts", "batches", "peers", "plot",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its code."""
    # Batch systems stop a job with SIGTERM; it should leave as little behind as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep_memory()
    sys.exit(run(list(sys.argv if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Runs a command, and returns its exit code.

    Args:
      argv: the program's name, the command, its arguments and flags.
    """
    # TensorStore and XLA write to stderr on their own; only what a user can act on should be there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    FLAGS.set_gnu_getopt(True)
    try:
        if any(word in ("-h", "--help", "-help", "--helpfull") for word in argv[1:]):
            print(USAGE + _flag_help())
            return 0
        words = FLAGS(argv)[1:]
        report = _dispatch(words)
    except (flags.Error, UsageError, MissingExtraError) as error:
        return _fail(error, EXIT_USAGE)
    except FormatError as error:
        return _fail(error, EXIT_DAMAGED)
    except (DeviceError, OSError) as error:
        return _fail(error, EXIT_FAILED)
    except KeyboardInterrupt:
        return _fail(Exception("Interrupted; nothing was kept."), EXIT_FAILED)
    if FLAGS.json:
        print(json.dumps(report))
    else:
        from jaxslice.bench.report import print_bench
        from jaxslice.cli import terminal

        show = print_bench if words[0] == "bench" else terminal.print_report
        show(report)
    return 0


def _dispatch(words: list[str]) -> dict[str, Any]:
    commands: dict[str, tuple[Callable[..., dict[str, Any]], tuple[str, ...]]] = {
        "compress": (_compress, ("SOURCE", "ARCHIVE")),
        "decompress": (_decompress, ("ARCHIVE", "DEST")),
        "verify": (_verify, ("ARCHIVE",)),
        "info": (_info, ("ARCHIVE",)),
        "train": (_train, ("SOURCE...",)),
        "demo": (_demo, ()),
        "bench": (_bench, ("[SOURCE]",)),
    }
    if not words or words[0] not in commands:
        got = f"the command {words[0]!r}" if words else "no command"
        raise UsageError(f"Got {got}, expected one of {', '.join(commands)} (see --help).")
    function, names = commands[words[0]]
    fits = {"train": len(words) > 1, "bench": len(words) < 3}
    if not fits.get(words[0], len(words) - 1 == len(names)):
        expected = " ".join(names) or "no arguments"
        raise UsageError(f"Got {words[0]} with {words[1:]}, expected {expected} (see --help).")
    return function(*words[1:])


def _options() -> Any:
    from jaxslice.jobs.options import CompressOptions

    return CompressOptions(
        bbox=_bbox(),
        scale=FLAGS.scale,
        block_shape=parse_shape(FLAGS.block_shape) if FLAGS.block_shape else None,
        effort=FLAGS.effort,
        model=FLAGS.model,
        context=FLAGS.context,
        seed=FLAGS.seed,
        verify=FLAGS.verify,
        overwrite=FLAGS.overwrite,
        missing=FLAGS.missing,
        training_steps=FLAGS.training_steps,
        workers=FLAGS.workers,
        batch_blocks=FLAGS.batch_blocks,
    )


def _compress(source: str, archive: str) -> dict[str, Any]:
    options = _options()
    _prepare_jax()
    from jaxslice.cli.terminal import progress_display
    from jaxslice.jobs.compress import compress

    with progress_display() as progress:
        return compress(source, archive, options, progress).to_json()


def _decompress(archive: str, dest: str) -> dict[str, Any]:
    bbox = _bbox()
    _prepare_jax()
    from jaxslice.cli.terminal import progress_display
    from jaxslice.jobs.decompress import decompress

    with progress_display() as progress:
        return decompress(
            archive,
            dest,
            bbox=bbox,
            overwrite=FLAGS.overwrite,
            workers=FLAGS.workers,
            batch_blocks=FLAGS.batch_blocks,
            progress=progress,
        ).to_json()


def _verify(archive: str) -> dict[str, Any]:
    _prepare_jax()
    from jaxslice.cli.terminal import progress_display
    from jaxslice.jobs.verify import verify

    with progress_display() as progress:
        return verify(
            archive,
            source=FLAGS.source,
            scale=FLAGS.scale,
            missing=FLAGS.missing,
            workers=FLAGS.workers,
            batch_blocks=FLAGS.batch_blocks,
            progress=progress,
        ).to_json()


def _info(archive: str) -> dict[str, Any]:
    from jaxslice.archive.report import info

    return info(archive).to_json()


def _train(*sources: str) -> dict[str, Any]:
    if FLAGS.output is None:
        raise UsageError("Got train without --output, expected the file to write the model to.")
    _prepare_jax()
    from jaxslice.cli.terminal import progress_display
    from jaxslice.jobs.recipe import recipe_of
    from jaxslice.jobs.train_model import ARCHITECTURES, make_model

    with progress_display() as progress:
        made = make_model(
            [[source] for source in sources],
            FLAGS.output,
            ARCHITECTURES[FLAGS.architecture],
            recipe_of(FLAGS.steps, FLAGS.augment),
            FLAGS.seed,
            start=FLAGS.init,
            checkpoint_dir=FLAGS.checkpoint_dir,
            progress=progress,
        )
    return {"model": made.name, "fingerprint": made.fingerprint, **made.provenance}


def _demo() -> dict[str, Any]:
    _prepare_jax()
    from jaxslice.bench.demo import demo
    from jaxslice.cli.terminal import progress_display

    with progress_display() as progress:
        return demo(FLAGS.output or "demo-output", FLAGS.source, FLAGS.seed, progress)


def _bench(source: str | None = None) -> dict[str, Any]:
    # No cache of compiled programs: how long compiling takes is part of the answer.
    from jaxslice.bench.bench import bench
    from jaxslice.cli.terminal import progress_display

    batches = FLAGS.batches.split(",") if FLAGS.batches else None
    with progress_display() as progress:
        return bench(
            source, efforts=FLAGS.efforts.split(","), batches=batches, with_peers=FLAGS.peers,
            output=FLAGS.output, plot=FLAGS.plot, options=_options(), progress=progress,
        )  # fmt: skip


def _prepare_jax() -> None:
    """Keeps compiled programs in the user's cache folder, which processes share safely."""
    import jax

    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", os.path.join(folder, "jaxslice", "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


def _bbox() -> Box | None:
    return Box.parse(FLAGS.bbox) if FLAGS.bbox else None


def _flag_help() -> str:
    lines = []
    for name in _OWN_FLAGS:
        flag = FLAGS[name]
        default = "" if flag.default is None else f" (default {flag.default})"
        lines.append(f"  --{name}: {flag.help}{default}")
    return "\n".join([*lines, "  --flagfile: read flags from this file."])


def _fail(error: BaseException, code: int) -> int:
    message = " ".join(str(error).split())
    print(f"jaxslice: {message}", file=sys.stderr)
    return code
