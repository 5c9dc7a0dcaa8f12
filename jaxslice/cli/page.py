"""`jaxslice page`: the page that shows archives from any web server, without one of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from absl import flags

from jaxslice.cli import places, shared_flags
from jaxslice.cli.command import Command


def _define_flags(values: flags.FlagValues) -> None:
    shared_flags.define_overwrite(values, "the page")
    shared_flags.define_json(values)


def _run(values: flags.FlagValues, folder: str) -> dict[str, Any]:
    places.check_local("FOLDER", folder)
    places.check_destination(folder, values.overwrite)
    from jaxslice.browser.build import write_page

    files = write_page(Path(folder))
    return {
        "page": os.path.abspath(files[0]),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "address": "index.html?archive=ADDRESS, with ADDRESS relative to the page, or a URL",
    }


COMMAND = Command(
    name="page",
    arguments=("FOLDER",),
    description="Writes a page that shows archives in a browser: it fetches the blocks of a slice "
    "and decodes them itself, by WebAssembly. Any web server can offer page and archives; nothing "
    "runs there. Formats 3 and 4; slices along z.",
    examples=(
        "jaxslice page viewer",
        "jaxslice page viewer --overwrite",
    ),
    define_flags=_define_flags,
    run=_run,
    output=lambda _values, folder: folder,
)
