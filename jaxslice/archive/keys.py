"""The keys of an archive's objects, and which objects of a folder are an archive's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jaxslice.archive.configuration import CODEC_NAME
from jaxslice.archive.json_document import read_json
from jaxslice.archive.metadata import scale_paths
from jaxslice.core.errors import FormatError
from jaxslice.storage.kind import Kind, OwnKeys

METADATA_KEY = "zarr.json"

_BUCKET_PATH = r"\d+-[0-9a-f]{16}(?:-\d+)?"
"""Path of an array in a bucket: scale, identity, and a number if that of the old one is equal."""


def keys_of(paths: Iterable[str]) -> OwnKeys:
    """Whether a key is that of the group's metadata, or of an object of an array at such a path."""
    return _matching("|".join(map(re.escape, paths)))


def _matching(paths: str) -> OwnKeys:
    pattern = re.compile(rf"zarr\.json|(?:{paths})/(?:zarr\.json|c/\d+/\d+/\d+)")
    return lambda key: pattern.fullmatch(key) is not None


def _own_keys(group: bytes | None) -> OwnKeys | None:
    """The objects of the archive with this group, or of any in a bucket; None if it is another."""
    if group is None:
        return _matching(_BUCKET_PATH)
    try:
        return keys_of(scale_paths(group)) if CODEC_NAME in read_json(group)["attributes"] else None
    except (FormatError, ValueError, LookupError, TypeError):
        return None


KIND = Kind("a jaxslice archive", METADATA_KEY, _own_keys)
"""What `--overwrite` may replace."""
