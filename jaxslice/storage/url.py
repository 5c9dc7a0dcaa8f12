"""URLs of the field: a location, what format it is said to hold, and paths inside containers.

Neuroglancer's old style has the format in front (`zarr://gs://bucket/volume`), its new style and
TensorStore's have it at the end (`gs://bucket/volume/|zarr3:path`), perhaps after containers
(`|zip:path`, `|ocdbt:path`).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

FORMAT_OF_WORD = {
    "precomputed": "precomputed",
    "neuroglancer-precomputed": "precomputed",
    "zarr": "zarr",
    "zarr2": "zarr2",
    "zarr3": "zarr3",
    "n5": "n5",
    "auto": None,
}
"""Words that say a format, in front of `://` or after `|`; None where it says nothing."""

CONTAINERS = ("zip", "ocdbt")
"""What a folder may be packed in, as TensorStore calls it."""


class Told(NamedTuple):
    """A place taken apart.

    Attributes:
      url: the path or URL alone.
      containers: such as `zip:path`, outermost first.
      inside: a path below it.
      format: what it is said to hold; None if nothing is said.
    """

    url: str
    containers: tuple[str, ...] = ()
    inside: str = ""
    format: str | None = None


_SPLIT = re.compile(rf"\|(?=(?:{'|'.join((*FORMAT_OF_WORD, *CONTAINERS))})(?::|\||$))")


def told(place: str) -> Told:
    """Takes a place apart as users write it; a local path that exists is taken literally."""
    if os.path.lexists(place):
        return Told(place)
    url, *rest = _SPLIT.split(place.strip())
    known = None
    while (prefix := re.match(r"([\w-]+)://", url)) and prefix[1] in FORMAT_OF_WORD:
        known, url = FORMAT_OF_WORD[prefix[1]], url[prefix.end() :]
    containers: list[str] = []
    inside = ""
    for part in rest:
        # What follows the word may be no word that is known, and is then for TensorStore to refuse.
        word = re.split(r"[:|]", part, maxsplit=1)[0]
        path = part[len(word) :].removeprefix(":")
        if word in CONTAINERS:
            containers.append(part if ":" in part else f"{part}:")
        else:
            known, inside = FORMAT_OF_WORD[word], path.strip("/")
    return Told(url, tuple(containers), inside, known)
