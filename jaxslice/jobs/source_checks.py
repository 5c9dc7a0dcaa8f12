"""Whether a source was there, and stayed as it was, while it was compressed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jaxslice.core.errors import SourceDataError, StorageError
from jaxslice.jobs.job_file import fingerprint_of
from jaxslice.volumes.interface import MissingChunks
from jaxslice.volumes.source import Source


class SourceChangedError(SourceDataError):
    """Somebody wrote to the source while it was compressed."""


def check_unchanged(sources: Sequence[Source], job: dict[str, Any]) -> None:
    """Refuses an archive of a source that somebody wrote to meanwhile: parts would not fit.

    Raises:
      SourceChangedError: some voxels or the time of a file are others than at the start.
      SourceDataError: voxels that cannot be read.
    """
    before = [job["source"], *job["coarser_sources"]]
    for source, known in zip(sources, before, strict=True):
        found = json.loads(json.dumps(fingerprint_of(source)))
        if found != known:
            changed = ", ".join(key for key in known if found.get(key) != known[key])
            raise SourceChangedError(
                f"Got {source.description!r}, which was changed while it was compressed "
                f"({changed}), expected the same volume until the end."
            )


def check_found(description: str, missing: MissingChunks) -> None:
    """Refuses an archive of nothing but missing chunks.

    Raises:
      SourceDataError: not one chunk was found.
      StorageError: not one chunk was found, and access to some was refused.
    """
    if missing.all_missing and missing.refused:
        raise StorageError(
            f"Access refused: none of {missing.count} chunks of {description!r} could be read, so"
            f" that they cannot count as missing. {missing.refused}"
        )
    if missing.all_missing:
        raise SourceDataError(
            f"Got none of {missing.count} chunks of {description!r}, expected at "
            "least one: they lie elsewhere, or have other names."
        )
