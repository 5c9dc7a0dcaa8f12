"""`jaxslice completion`: what a shell needs to complete commands, flags and their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from absl import flags

from jaxslice.cli import registry, shared_flags
from jaxslice.cli.command import Command
from jaxslice.core.errors import UsageError

_MOST_NUMBERS = 10
"""A flag that takes no more integers than that has them completed."""


def _bash() -> str:
    lines = [
        "# jaxslice completion bash",
        "_jaxslice() {",
        "  local word=${COMP_WORDS[COMP_CWORD]} flag= words=",
        # bash takes `=` for a word of its own.
        '  if [[ $word == "=" ]]; then flag=${COMP_WORDS[COMP_CWORD-1]}; word=',
        '  elif [[ ${COMP_WORDS[COMP_CWORD-1]} == "=" ]]; then',
        "    flag=${COMP_WORDS[COMP_CWORD-2]}",
        "  fi",
        "  COMPREPLY=()",
        "  if (( COMP_CWORD == 1 )); then",
        f'    words="{" ".join([*registry.SUMMARIES, "--help", "--version"])}"',
        "  elif [[ -n $flag ]]; then",
        "    case ${COMP_WORDS[1]}$flag in",
    ]
    for name in registry.SUMMARIES:
        for flag in _flags_of(name):
            if _choices(flag):
                lines.append(f'      {name}--{flag.name}) words="{" ".join(_choices(flag))}" ;;')
    lines += ["    esac", "  elif [[ $word == -* ]]; then", "    case ${COMP_WORDS[1]} in"]
    lines += [
        f'      {name}) words="{" ".join(_spellings(name))}" ;;' for name in registry.SUMMARIES
    ]
    lines += [
        "    esac",
        "    compopt -o nospace",
        "  fi",
        '  [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "}",
        "complete -o default -F _jaxslice jaxslice",
    ]
    return "\n".join(lines)


def _zsh() -> str:
    lines = ["#compdef jaxslice", "_jaxslice() {", "  local -a commands", "  commands=("]
    lines += [f"    '{name}:{_plain(text)}'" for name, text in registry.SUMMARIES.items()]
    lines += [
        "  )",
        "  if (( CURRENT == 2 )); then _describe command commands; return; fi",
        "  case $words[2] in",
    ]
    for name in registry.SUMMARIES:
        # _arguments counts words from the command on.
        lines.append(f"    {name}) shift words; (( CURRENT-- )); _arguments \\")
        for flag in _flags_of(name):
            text = f"[{_plain(flag.help or '')}]"
            if flag.boolean:
                lines += [f"      '--{flag.name}{text}' '--no{flag.name}{text}' \\"]
            else:
                values = f"({' '.join(_choices(flag))})" if _choices(flag) else "_files"
                lines.append(f"      '--{flag.name}=-{text}:value:{values}' \\")
        lines.append("      '*:file:_files' ;;")
    lines += [
        "  esac",
        "}",
        # The file is either a function of its own in $fpath, or sourced.
        'if [ "$funcstack[1]" = "_jaxslice" ]; then _jaxslice "$@"',
        "else compdef _jaxslice jaxslice; fi",
    ]
    return "\n".join(lines)


def _fish() -> str:
    lines = ["# jaxslice completion fish"]
    for name, text in registry.SUMMARIES.items():
        lines.append(
            f"complete -c jaxslice -n __fish_use_subcommand -f -a {name} -d '{_plain(text)}'"
        )
        seen = f"complete -c jaxslice -n '__fish_seen_subcommand_from {name}'"
        for flag in _flags_of(name):
            text = f"-d '{_plain(flag.help or '')}'"
            if flag.boolean:
                lines += [f"{seen} -l {flag.name} {text}", f"{seen} -l no{flag.name} {text}"]
            elif _choices(flag):
                lines.append(f"{seen} -l {flag.name} -x -a '{' '.join(_choices(flag))}' {text}")
            else:
                lines.append(f"{seen} -l {flag.name} -r {text}")
    return "\n".join(lines)


SHELLS: dict[str, Callable[[], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _flags_of(name: str) -> list[flags.Flag]:
    values = registry.load(name).flags()
    return [values[flag] for flag in sorted(values)]


def _choices(flag: flags.Flag) -> list[str]:
    parser = flag.parser
    names = getattr(parser, "enum_values", None)
    if names:
        return list(names)
    least, most = getattr(parser, "lower_bound", None), getattr(parser, "upper_bound", None)
    if isinstance(least, int) and isinstance(most, int) and most - least < _MOST_NUMBERS:
        return [str(number) for number in range(least, most + 1)]
    return []


def _spellings(name: str) -> list[str]:
    found = ["--help"]
    for flag in _flags_of(name):
        found += [f"--{flag.name}", f"--no{flag.name}"] if flag.boolean else [f"--{flag.name}="]
    return found


def _plain(text: str) -> str:
    """The first sentence of a help text, without what a shell would take for its own."""
    sentence = text.rpartition(">: ")[2].split(". ")[0].rstrip(".")
    return re.sub(r"[^\w ,./()-]+", " ", sentence).strip()


def _run(_values: flags.FlagValues, shell: str) -> dict[str, Any]:
    if shell not in SHELLS:
        raise UsageError(f"completion: Got the shell {shell!r}, expected {', '.join(SHELLS)}.")
    return {"shell": shell, "script": SHELLS[shell]()}


COMMAND = Command(
    name="completion",
    arguments=("SHELL",),
    description="Prints what SHELL (bash, zsh or fish) needs to complete commands, flags and their "
    "values. For bash: add `source <(jaxslice completion bash)` to ~/.bashrc. For zsh: the same "
    "with zsh, in ~/.zshrc, after compinit. For fish: save it as "
    "~/.config/fish/completions/jaxslice.fish.",
    examples=("jaxslice completion bash", "jaxslice completion fish"),
    opens_places=False,
    define_flags=shared_flags.define_json,
    run=_run,
    show=lambda report: print(report["script"]),
)
