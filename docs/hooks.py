"""What mkdocs does beyond its own: results as pages' neighbours, commands from `--help`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"

_RESULT = re.compile(r"\]\((?:\.\./)+experiments/results/([\w.]+)\)")
_OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+(?:jaxslice|experiments|README|BUILD|tests)[^)]*\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the tables and pictures of the experiments, which pages show and link to."""
    for path in sorted(RESULTS.glob("*.[cp][sn][vg]")):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to results lead to the copies; links to the source, which is not part, become text."""
    up = "../" * page.file.src_uri.count("/")
    markdown = _RESULT.sub(rf"]({up}results/\1)", markdown)
    markdown = _OUTSIDE.sub(r"\1", markdown)
    return markdown.replace("<!-- commands -->", _commands())


def _commands() -> str:
    """The help of every command, as it is printed."""
    from jaxslice.cli import help as texts
    from jaxslice.cli import registry

    parts = [
        f"## {name}\n\n```text\n{texts.command_help(registry.load(name))}\n```"
        for name in registry.SUMMARIES
    ]
    return "\n\n".join(parts)
