"""How far `scrub` came, kept in a file from one run to the next."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from jaxslice.core.errors import UsageError
from jaxslice.core.json_text import parse_json

_VERSION = 1
_NO_STATE = "Got the state {!r} with {!r}, expected one that scrub wrote."


@dataclasses.dataclass
class ScrubState:
    """Of one archive.

    Attributes:
      root: of the archive, at the first run.
      passes: how often all of it was read.
      checked: blocks that were read since the pass began, in order.
      leaves: of the layer that is not complete; None for a block without one.
      problems: that were found since the pass began.
    """

    root: str | None = None
    passes: int = 0
    checked: int = 0
    leaves: list[bytes | None] = dataclasses.field(default_factory=list)
    problems: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def begin_again(self) -> None:
        """Begins the next pass."""
        self.passes += 1
        self.checked, self.leaves, self.problems = 0, [], []

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        leaves = [leaf.hex() if leaf is not None else None for leaf in self.leaves]
        return {**dataclasses.asdict(self), "leaves": leaves}

    @classmethod
    def from_json(cls, value: Any) -> ScrubState:
        """Reads what `to_json` made."""
        leaves = [bytes.fromhex(leaf) if leaf is not None else None for leaf in value["leaves"]]
        return cls(value["root"], value["passes"], value["checked"], leaves, value["problems"])


def load_state(file: str | os.PathLike[str] | None, archive: str) -> ScrubState:
    """The state of an archive; a new one if the file has none.

    Raises:
      UsageError: the file is no state, or cannot be read.
    """
    if file is None:
        return ScrubState()
    found = _archives(Path(file)).get(archive)
    try:
        return ScrubState() if found is None else ScrubState.from_json(found)
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(_NO_STATE.format(str(file), error)) from None


def save_state(file: str | os.PathLike[str] | None, archive: str, state: ScrubState) -> None:
    """Keeps the state of an archive. The file is replaced as a whole.

    Raises:
      UsageError: the file cannot be written.
    """
    if file is None:
        return
    path = Path(file)
    document = {"version": _VERSION, "archives": {**_archives(path), archive: state.to_json()}}
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as partial:
            json.dump(document, partial)
            partial.flush()
            os.fsync(partial.fileno())
        os.replace(partial.name, path)
    except OSError as error:
        raise UsageError(f"Cannot write the state {str(file)!r}: {error.strerror}.") from error


def _archives(path: Path) -> dict[str, Any]:
    try:
        document = parse_json(path.read_text())
        if document["version"] != _VERSION:
            raise ValueError(f"the version {document['version']}")
        return dict(document["archives"])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"Cannot read the state {str(path)!r}: {error.strerror}.") from error
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(_NO_STATE.format(str(path), error)) from None
