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

from jaxslice.box import Box, Triple
from jaxslice.errors import DeviceError, FormatError, MissingExtraError, UsageError

EXIT_FAILED, EXIT_USAGE, EXIT_DAMAGED = 1, 2, 3

USAGE = """\
Lossless compression of 3-D electron microscopy.

  jaxslice compress SOURCE ARCHIVE    a volume into a new archive
  jaxslice decompress ARCHIVE DEST    an archive into a new precomputed volume or .npy file
  jaxslice verify ARCHIVE             check that every block decodes (and equals --source)
  jaxslice info ARCHIVE               what an archive is
  jaxslice demo                       see it all at work on a volume made here

SOURCE is a neuroglancer precomputed volume (a folder, or a URL with file://, http://, https://,
gs:// or s3://) or a z,y,x .npy file of uint8. Flags:
"""

FLAGS = flags.FLAGS
flags.DEFINE_string("bbox", None, "z0:z1,y0:y1,x0:x1: voxels to take, in global coordinates.")
flags.DEFINE_string("scale", "0", "compress, verify: scale of the source, by index or key.")
flags.DEFINE_string("block_shape", "64,256,256", "compress: largest z,y,x of a block.")
flags.DEFINE_integer("effort", 1, "compress: 1 trains one network for the archive.")
flags.DEFINE_string("context", "full", "compress: full, or slices for the 4 previous slices alone.")
flags.DEFINE_integer("seed", 0, "compress: seed of training and sampling. demo: of the volume.")
flags.DEFINE_string(
    "verify", "all", "compress: all, sample or none of the blocks are decoded again at once."
)
flags.DEFINE_bool("overwrite", False, "Replace what stands at ARCHIVE or DEST.")
flags.DEFINE_string("missing", "error", "error, or zero to read missing source chunks as black.")
flags.DEFINE_string("source", None, "verify: compare with this volume. demo: use this volume.")
flags.DEFINE_bool("json", False, "Print one JSON object on stdout.")
flags.DEFINE_integer("training_steps", None, "compress: optimiser steps instead of the effort's.")
flags.DEFINE_integer("workers", None, "Threads that compute; default one for each core.")
flags.DEFINE_integer("batch_blocks", None, "Blocks that run together on a device.")
flags.DEFINE_string("output", "demo-output", "demo: folder for the archive and the pictures.")
_OWN_FLAGS = (
    "bbox", "scale", "block_shape", "effort", "context", "seed", "verify", "overwrite", "missing",
    "source", "json", "training_steps", "workers", "batch_blocks", "output",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its code."""
    # Batch systems stop a job with SIGTERM; it should leave as little behind as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        from jaxslice.terminal import print_report

        print_report(report)
    return 0


def _dispatch(words: list[str]) -> dict[str, Any]:
    commands: dict[str, tuple[Callable[..., dict[str, Any]], tuple[str, ...]]] = {
        "compress": (_compress, ("SOURCE", "ARCHIVE")),
        "decompress": (_decompress, ("ARCHIVE", "DEST")),
        "verify": (_verify, ("ARCHIVE",)),
        "info": (_info, ("ARCHIVE",)),
        "demo": (_demo, ()),
    }
    if not words or words[0] not in commands:
        got = f"the command {words[0]!r}" if words else "no command"
        raise UsageError(f"Got {got}, expected one of {', '.join(commands)} (see --help).")
    function, names = commands[words[0]]
    if len(words) - 1 != len(names):
        expected = " ".join(names) or "no arguments"
        raise UsageError(f"Got {words[0]} with {words[1:]}, expected {expected} (see --help).")
    return function(*words[1:])


def _compress(source: str, archive: str) -> dict[str, Any]:
    from jaxslice.options import CompressOptions

    options = CompressOptions(
        bbox=_bbox(),
        scale=FLAGS.scale,
        block_shape=_block_shape(FLAGS.block_shape),
        effort=FLAGS.effort,
        context=FLAGS.context,
        seed=FLAGS.seed,
        verify=FLAGS.verify,
        overwrite=FLAGS.overwrite,
        missing=FLAGS.missing,
        training_steps=FLAGS.training_steps,
        workers=FLAGS.workers,
        batch_blocks=FLAGS.batch_blocks,
    )
    _prepare_jax()
    from jaxslice.pipeline import compress
    from jaxslice.terminal import progress_display

    with progress_display() as progress:
        return compress(source, archive, options, progress).to_json()


def _decompress(archive: str, dest: str) -> dict[str, Any]:
    bbox = _bbox()
    _prepare_jax()
    from jaxslice.pipeline import decompress
    from jaxslice.terminal import progress_display

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
    from jaxslice.pipeline import verify
    from jaxslice.terminal import progress_display

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
    from jaxslice.describe import info

    return info(archive).to_json()


def _demo() -> dict[str, Any]:
    _prepare_jax()
    from jaxslice.demo import demo
    from jaxslice.terminal import progress_display

    with progress_display() as progress:
        return demo(FLAGS.output, FLAGS.source, FLAGS.seed, progress)


def _prepare_jax() -> None:
    """Keeps compiled programs in the user's cache folder, which processes share safely."""
    import jax

    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", os.path.join(folder, "jaxslice", "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _bbox() -> Box | None:
    return Box.parse(FLAGS.bbox) if FLAGS.bbox else None


def _block_shape(text: str) -> Triple:
    try:
        z, y, x = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"Got the block shape {text!r}, expected z,y,x such as 64,256,256."
        ) from None
    return (z, y, x)


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
