"""Parses a command's words into its flags and arguments, with errors that say what to do."""

from __future__ import annotations

import difflib
import itertools

from absl import flags

from jaxslice.cli.command import Command
from jaxslice.cli.registry import commands_with_flag
from jaxslice.core.errors import UsageError


def parse(command: Command, words: list[str]) -> tuple[flags.FlagValues, list[str]]:
    """Parses the words after a command's name.

    Returns:
      The flags, and the arguments that are no flags.

    Raises:
      UsageError: a flag that the command does not have, a value that its flag does not take, a
        flag file that cannot be read, or too few or too many arguments.
    """
    values = command.flags()
    _check_flagfile_named(command, words)
    try:
        # Unknown flags are returned, and refused below with a better message than absl's.
        rest = values([command.name, *words], known_only=True)[1:]
    except flags.CantOpenFlagFileError as error:
        cause = error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else str(error)
        raise _usage_error(command, f"Cannot read the --flagfile: {reason}") from None
    except UnicodeDecodeError:
        raise _usage_error(command, "Got a --flagfile that is not text") from None
    except OSError as error:
        raise _usage_error(command, f"Cannot read the --flagfile: {error.strerror}") from None
    except (flags.Error, ValueError) as error:
        raise _usage_error(command, str(error).rstrip(".")) from None
    return values, _arguments(command, values, rest)


def _check_flagfile_named(command: Command, words: list[str]) -> None:
    """Refuses an empty name, which absl takes as no file; it may be a variable that is not set."""
    for word, value in itertools.pairwise([*words, ""]):
        option, equals, name = word.lstrip("-").partition("=")
        empty = not (name if equals else value).strip()
        if word.startswith("-") and option == "flagfile" and empty:
            raise _usage_error(command, "Got an empty --flagfile, expected a file of flags")


def _arguments(command: Command, values: flags.FlagValues, rest: list[str]) -> list[str]:
    end = rest.index("--") if "--" in rest else len(rest)
    for word in rest[:end]:
        name = word.lstrip("-").split("=")[0]
        if word.startswith("-") and name:
            raise _usage_error(command, _unknown_flag(command, values, name))
    found = rest[:end] + rest[end + 1 :]
    least = sum(not name.startswith("[") for name in command.arguments)
    repeated = any(name.endswith("...") for name in command.arguments)
    expected = " ".join(command.arguments) or "no arguments"
    if not least <= len(found) or (len(found) > len(command.arguments) and not repeated):
        raise _usage_error(command, f"Got {found or 'no arguments'}, expected {expected}")
    if not all(word.strip() for word in found):
        raise _usage_error(command, f"Got an empty argument in {found}, expected {expected}")
    return found


def _unknown_flag(command: Command, values: flags.FlagValues, name: str) -> str:
    others = commands_with_flag(name)
    if others:
        return f"Got --{name}, which is a flag of {', '.join(others)} and not of {command.name}"
    likely = difflib.get_close_matches(name[:80], list(values), n=1)
    hint = f", expected perhaps --{likely[0]}" if likely else ""
    return f"Got --{name}, which is no flag of {command.name}{hint}"


def _usage_error(command: Command, message: str) -> UsageError:
    return UsageError(f"{command.name}: {message}; see `jaxslice {command.name} --help`.")
