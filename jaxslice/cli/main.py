"""The command line: finds the command, runs it, prints its report and chooses the exit code.

Results go to stdout; progress and messages go to stderr. Exit codes: 0 done, 2 a usage that cannot
be carried out, 3 damaged data, 1 anything else.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence

from absl import flags

from jaxslice.cli import help as help_texts
from jaxslice.cli import registry, store_flags
from jaxslice.cli.arguments import parse
from jaxslice.cli.command import EXIT_DAMAGED, EXIT_FAILED, EXIT_USAGE, Command, Report
from jaxslice.cli.malloc import keep_memory
from jaxslice.cli.signals import Interrupter
from jaxslice.cli.terminal import message_line
from jaxslice.core.errors import (
    DeviceError,
    FormatError,
    MissingExtraError,
    StorageError,
    TrainingError,
    UsageError,
)
from jaxslice.core.temporary import remove_all
from jaxslice.storage.location import without_secrets
from jaxslice.storage.store_options import set_store_options

_UNUSABLE_PLACE = frozenset(
    {errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM, errno.EROFS}
)
"""System errors that mean a place cannot be used, rather than that something failed."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its code."""
    _open_missing_streams()
    Interrupter()
    keep_memory()
    _leave(run(list(sys.argv if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Runs a command and returns its exit code.

    Args:
      argv: the program's name, the command, its arguments and flags.
    """
    # TensorStore and XLA write to stderr on their own; only what a user can act on should be there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    words = argv[1:]
    try:
        text = _text_for(words)
        if text is not None:
            return _print(lambda: print(text))
        command = registry.load(_command_word(words))
        values, arguments = parse(command, words[1:])
    except UsageError as error:
        return _fail(str(error), EXIT_USAGE)
    except KeyboardInterrupt:
        return _fail("Interrupted.", EXIT_FAILED)
    result = _run_command(command, values, arguments)
    if isinstance(result, int):
        return result
    show = (lambda: print(json.dumps(result))) if values.json else (lambda: command.show(result))
    return _print(show) or command.exit_code(result)


def _run_command(command: Command, values: flags.FlagValues, arguments: list[str]) -> Report | int:
    """The command's report, or an exit code after its message was printed."""
    try:
        if command.opens_places:
            set_store_options(store_flags.store_options(values))
        return command.run(values, *arguments)
    except (UsageError, MissingExtraError) as error:
        return _fail(str(error), EXIT_USAGE)
    except FormatError as error:
        return _fail(str(error), EXIT_DAMAGED)
    except (DeviceError, StorageError, TrainingError) as error:
        return _fail(str(error), EXIT_FAILED)
    except OSError as error:
        code = EXIT_USAGE if error.errno in _UNUSABLE_PLACE else EXIT_FAILED
        return _fail(_system_message(error, command.output(values, *arguments)), code)
    except MemoryError:
        return _fail("Out of memory; fewer --workers or smaller blocks need less.", EXIT_FAILED)
    except KeyboardInterrupt:
        left = command.after_interrupt(values, *arguments)
        return _fail(f"Interrupted. {left}", EXIT_FAILED)
    except RuntimeError as error:
        if not _is_jax_error(error):
            raise
        return _fail(f"JAX failed: {error}", EXIT_FAILED)


def _text_for(words: list[str]) -> str | None:
    """The help or version that is requested, if any."""
    if words and words[0] == "help":
        words = [*words[1:2], "--help"]
    if words == ["--version"]:
        return help_texts.version_text()
    before_end = words[: words.index("--")] if "--" in words else words
    if not help_texts.HELP_WORDS.intersection(before_end):
        return None
    if words[0] in help_texts.HELP_WORDS:
        return help_texts.general_help()
    return help_texts.command_help(registry.load(words[0]))


def _command_word(words: list[str]) -> str:
    expected = f"one of {', '.join(registry.SUMMARIES)}; see `jaxslice --help`."
    if not words:
        raise UsageError(f"Got no command, expected {expected}")
    if words[0].startswith("-"):
        raise UsageError(f"Got {words[0]!r} before the command, expected {expected}")
    return words[0]


def _print(show: Callable[[], None]) -> int:
    """Prints to stdout and returns an exit code; says nothing if the reader has gone away."""
    try:
        show()
        sys.stdout.flush()
    except BrokenPipeError:
        return EXIT_FAILED
    except OSError as error:
        return _fail(f"Cannot write to stdout: {error.strerror}.", EXIT_FAILED)
    except KeyboardInterrupt:
        return _fail("Interrupted while the report was printed; the work is done.", EXIT_FAILED)
    return 0


def _leave(code: int) -> None:
    """Exits; after a failure at once, without Python's own end.

    That end could crash in threads that JAX still runs, or complain of an unwritable stdout.
    """
    if code == 0:
        sys.exit(0)
    remove_all()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _open_missing_streams() -> None:
    """Gives a process that was started with closed streams harmless ones, in their places."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    # Names of files may hold what the encoding of the terminal does not have.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _is_jax_error(error: RuntimeError) -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(error, jax.errors.JaxRuntimeError)


def _system_message(error: OSError, output: str) -> str:
    if error.strerror is None:
        return str(error)
    if error.filename is not None:
        return f"{error.strerror}: {error.filename!r}."
    full = error.errno in _FULL and output
    return f"{error.strerror}" + (f" while {output!r} was written." if full else ".")


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(message_line(f"jaxslice: {without_secrets(message)}"), file=sys.stderr, flush=True)
    return code
