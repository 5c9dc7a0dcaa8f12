"""The commands by name. A command's module is imported only when the command is used."""

from __future__ import annotations

import functools
import importlib

from jaxslice.cli.command import Command
from jaxslice.core.errors import UsageError

SUMMARIES = {
    "compress": "Compress a volume into a new archive.",
    "plan": "Begin an archive that the jobs of an array will fill.",
    "seal": "Complete an archive that the jobs of an array have filled.",
    "decompress": "Write the voxels of an archive as a new volume.",
    "extend": "Add the slices to an archive that its volume has got since.",
    "verify": "Check that every block of an archive decodes, and compare it with a source.",
    "selftest": "Find out in a minute whether this machine codes exactly.",
    "scrub": "Read archives that lie for years, and say which are damaged.",
    "repair": "Replace damaged blocks of an archive from a copy or the volume.",
    "inspect": "Say what a volume is, without compressing it.",
    "info": "Describe an archive without decoding it.",
    "status": "Say how far the job has come that writes an archive.",
    "diff": "Show where an archive and a volume differ, and how much.",
    "slice": "Write one plane of an archive as a picture.",
    "report": "Write one HTML page about an archive.",
    "page": "Write a page that shows archives in a browser, from any web server.",
    "serve": "Show archives in Neuroglancer, and serve them to other programs.",
    "train": "Train a model on volumes, for `compress --model`.",
    "demo": "Compress a small volume, compare other codecs, draw the results.",
    "bench": "Measure exactness, rate and speed on this machine.",
    "completion": "Print the completion of commands and flags for a shell.",
}
"""Name of a command -> what it does, on one line. Its module has the command's name."""


def load(name: str) -> Command:
    """Imports a command.

    Raises:
      UsageError: there is no such command.
    """
    if name not in SUMMARIES:
        raise UsageError(
            f"Got the command {name!r}, expected one of {', '.join(SUMMARIES)}; see "
            "`jaxslice --help`."
        )
    return importlib.import_module(f"jaxslice.cli.{name}").COMMAND


def commands_with_flag(name: str) -> list[str]:
    """The commands that have a flag, given by its name or, if boolean, with `no` before it."""
    return [command for command in SUMMARIES if name in flag_names(command)]


@functools.cache
def flag_names(command: str) -> frozenset[str]:
    """Names of a command's flags, those of boolean ones also with `no` before them."""
    values = load(command).flags()
    return frozenset(values) | {f"no{name}" for name in values if values[name].boolean}
