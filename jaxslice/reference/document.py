"""Section 1 of FORMAT.md: a `zarr.json`, within the limits of section 9."""

import json
import math
from pathlib import Path
from typing import Any

from jaxslice.core.errors import FormatError
from jaxslice.reference import limits
from jaxslice.reference.checks import require


def read_json(path: Path) -> Any:
    """The JSON of a file. Raises FormatError if it is missing, or not what every reader reads."""
    try:
        require(path.stat().st_size <= limits.JSON_BYTES, f"Got {path}, which is too long.")
        document = json.loads(
            path.read_bytes().decode(),
            object_pairs_hook=_object,
            parse_float=_number,
            parse_constant=_number,
        )
        json.dumps(document, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"Got no array metadata from {path} ({error!r:.200}).") from None
    level = [document] if type(document) in (dict, list) else []
    for _ in range(limits.JSON_DEPTH):
        values = (v.values() if type(v) is dict else v for v in level)
        level = [v for group in values for v in group if type(v) in (dict, list)]
    require(not level, f"Got {path}, which is nested too deeply.")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict:
    """An object whose names differ."""
    require(len(dict(pairs)) == len(pairs), "Got JSON with a name twice in an object.")
    return dict(pairs)


def _number(text: str) -> float:
    """A number that is finite."""
    require(math.isfinite(float(text)), f"Got the number {text:.200} in JSON.")
    return float(text)
