"""The texts of `--help` and `--version`; absl knows the flags, this file only lays them out."""

from __future__ import annotations

import importlib.metadata

from absl import flags

from jaxslice.cli.command import Command
from jaxslice.cli.registry import SUMMARIES

HELP_WORDS = frozenset({"-h", "-help", "--help", "-helpshort", "--helpshort", "--helpfull"})

_PLACES = """\
SOURCE is a volume: neuroglancer precomputed, Zarr or OME-Zarr, N5, HDF5, TIFF, a folder or a \
pattern of pictures, MRC, DM3, NRRD, .npy, .npz, .raw, or an archive. It is a path, or a URL with \
file://, http://, https://, gs:// or s3://, also as zarr://URL or URL|zarr3:. `jaxslice inspect \
SOURCE` says what it is taken for."""


def version_text() -> str:
    """The version of the program and of the archives that it writes."""
    from jaxslice.codec.versions import ARCHIVE_VERSION

    try:
        version = importlib.metadata.version("jaxslice")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"
    return f"jaxslice {version}, writes archives of format {ARCHIVE_VERSION}"


def general_help() -> str:
    """What `jaxslice --help` prints: the commands, a line each."""
    width = max(map(len, SUMMARIES))
    commands = [f"  {name:<{width}}  {summary}" for name, summary in SUMMARIES.items()]
    return "\n".join(
        [
            "Lossless compression of 3-D electron microscopy.",
            "",
            "Usage: jaxslice COMMAND [ARGUMENTS] [FLAGS]",
            "",
            "Commands:",
            *commands,
            "",
            flags.text_wrap(_PLACES),
            "",
            "  jaxslice COMMAND --help  shows the flags of a command, with examples.",
            "  jaxslice --version       shows the version and the format that is written.",
            "",
            "Exit codes: 0 done, 2 a usage that cannot be carried out, 3 damaged data, 1 anything",
            "else.",
        ]
    )


def command_help(command: Command) -> str:
    """What `jaxslice COMMAND --help` prints: arguments, flags by group, examples."""
    usage = " ".join(["jaxslice", command.name, *command.arguments, "[FLAGS]"])
    parts = [f"Usage: {usage}", flags.text_wrap(command.description)]
    if any("SOURCE" in argument for argument in command.arguments):
        parts.append(flags.text_wrap(_PLACES))
    parts += [
        "\n".join([f"{group}:", *map(_flag_help, members)])
        for group, members in command.flags().flags_by_module_dict().items()
    ]
    parts.append("Other:\n  --flagfile=FILE\n      Read flags from a file, one on each line.")
    parts.append("\n".join(["Examples:", *(f"  {example}" for example in command.examples)]))
    return "\n\n".join(parts)


def _flag_help(flag: flags.Flag) -> str:
    # absl begins the help of a choice with `<a|b>: `, and says what other values look like apart.
    choices, _, text = flag.help.rpartition(">: ")
    value = f"{choices}>" if choices else f"<{flag.parser.syntactic_help or 'text'}>"
    name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}={value}"
    if flag.default is not None:
        text += f" (default: {flag.default_as_str})"
    return f"  {name}\n" + flags.text_wrap(text, indent="      ")
