"""The JSON of an archive, read so that every reader finds the same in it (FORMAT.md, section 1)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from jaxslice.codec.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH
from jaxslice.core.errors import FormatError
from jaxslice.core.shorten import short_repr


def read_json(data: bytes) -> Any:
    """Reads a `zarr.json`.

    Raises:
      FormatError: it is too long or nested too deeply, repeats a name in an object, or has numbers
        or texts that JSON does not have.
      ValueError: it is no JSON in UTF-8.
    """
    if len(data) > MAX_JSON_BYTES:
        raise FormatError(
            f"Got {len(data)} bytes of JSON, expected at most {MAX_JSON_BYTES} of a zarr.json."
        )
    try:
        document = json.loads(
            data.decode(), object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite
        )
    except RecursionError:
        raise FormatError("Got JSON that is nested too deeply, expected zarr.json.") from None
    _check_depth(document)
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise FormatError("Got JSON with half a surrogate pair, expected whole ones.") from None
    return document


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise FormatError(f"Got {short_repr(name)} twice in an object of JSON, expected once.")
        found[name] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise FormatError(f"Got the number {short_repr(text)} in JSON, expected a finite one.")
    return number


def _check_depth(document: Any) -> None:
    """Refuses deep nesting, which whatever prints or writes the document could not take."""
    level = [document]
    for _ in range(MAX_JSON_DEPTH):
        values = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for group in values for v in group if isinstance(v, dict | list)]
        if not level:
            return
    raise FormatError(f"Got JSON nested more than {MAX_JSON_DEPTH} deep, expected less.")
