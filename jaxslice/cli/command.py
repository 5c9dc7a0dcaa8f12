"""What one command of the command line consists of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from absl import flags

from jaxslice.cli import store_flags
from jaxslice.cli.terminal import print_report

Report = dict[str, Any]

EXIT_FAILED, EXIT_USAGE, EXIT_DAMAGED = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: its flags, its help and the library call behind it.

    `run`, `output` and `after_interrupt` take the parsed flags, then the arguments.

    Attributes:
      name: the word that users type.
      arguments: names of the arguments; `[NAME]` may be left out, `NAME...` is one or more.
      description: what the command does, for its help; paragraphs end in an empty line.
      examples: command lines that show typical use.
      define_flags: defines the command's flags in an empty `FlagValues`.
      run: does the work and returns a report that JSON can hold.
      output: the place that is written to, for messages; "" if there is none.
      after_interrupt: a sentence on what an interrupted command leaves behind.
      show: prints a report for people.
      opens_places: whether it has the flags of how stores are reached.
      exit_code: of the program, from the report of work that was done.
    """

    name: str
    arguments: tuple[str, ...]
    description: str
    examples: tuple[str, ...]
    define_flags: Callable[[flags.FlagValues], None]
    run: Callable[..., Report]
    output: Callable[..., str] = lambda *_: ""
    after_interrupt: Callable[..., str] = lambda *_: "Nothing was written."
    show: Callable[[Report], None] = print_report
    opens_places: bool = True
    exit_code: Callable[[Report], int] = lambda _: 0

    def flags(self) -> flags.FlagValues:
        """The command's flags, not parsed yet."""
        values = flags.FlagValues()
        values.set_gnu_getopt(True)
        self.define_flags(values)
        if self.opens_places:
            store_flags.define(values)
        return values
