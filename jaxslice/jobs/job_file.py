"""What a run of `compress` is: kept with what it has written, so that another run can go on."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.codec.place import IDENTITY_BYTES
from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.json_text import parse_json
from jaxslice.jobs.base_network import BaseNetwork
from jaxslice.jobs.plan import Plan
from jaxslice.models import model_file
from jaxslice.storage.draft import Draft
from jaxslice.storage.location import parse_location
from jaxslice.volumes.source import Source

JOB_VERSION = 1

SAMPLED_BOXES, SAMPLED_SHAPE = 8, (2, 64, 64)
"""Boxes of the source that its fingerprint reads, spread along its diagonal, and their shape."""

_NOT_COMPARED = (
    "workers", "batch_blocks", "engine", "verify", "overwrite", "resume", "model", "block_shape",
    "shard_shape", "log_blocks",
)  # fmt: skip
"""Options that do not change the bytes, or that stand elsewhere in the job as what they became."""


def job_of(sources: Sequence[Source], planned: Plan) -> dict[str, Any]:
    """A JSON object of all that the bytes of an archive follow from, before anything is fitted.

    Args:
      sources: the scales of the volume; some voxels of them are read.
      planned: how the finest is compressed.

    Raises:
      SourceDataError: voxels that cannot be read.
    """
    options = planned.to_json()["options"]
    model = model_file.load(planned.model).fingerprint if planned.model else None
    job = {
        "job_version": JOB_VERSION,
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}",
        "source": fingerprint_of(sources[0]),
        "coarser_sources": [fingerprint_of(source) for source in sources[1:]],
        "options": {k: v for k, v in options.items() if k not in _NOT_COMPARED},
        "block_shape": planned.block_shape,
        "shard_shape": planned.shard_shape,
        "model": model,
        "architecture": planned.architecture.to_json(),
    }
    return json.loads(json.dumps(job))


def fingerprint_of(source: Source) -> dict[str, Any]:
    """What tells a volume from another: its box and size, some voxels, the time of its file."""
    digest = hashlib.sha256()
    for box in sampled_boxes(source.box):
        digest.update(source.read(box).tobytes())
    location = parse_location(source.description)
    modified = None
    if isinstance(location, Path):
        file = location if location.is_file() else location / "info"
        modified = file.stat().st_mtime_ns if file.exists() else None
    return {
        "box": str(source.box),
        **dataclasses.asdict(source.placement),
        "voxels": digest.hexdigest(),
        "modified_ns": modified,
    }


def sampled_boxes(whole: Box) -> Iterator[Box]:
    """Small boxes along the diagonal of another, whose voxels tell one volume from another."""
    for number in range(SAMPLED_BOXES):
        z, y, x = (
            start + (size - 1) * number // (SAMPLED_BOXES - 1)
            for start, size in zip(whole.start, whole.shape, strict=True)
        )
        yield Box.of_shape(SAMPLED_SHAPE, (z, y, x)).intersect(whole)


def begin_or_resume(draft: Draft, job: dict[str, Any], resume: bool) -> bool:
    """Begins a job in a draft, or goes on with the one that an interrupted run left there.

    Args:
      draft: to write to.
      job: from `job_of`.
      resume: whether to go on; otherwise what is there is removed.

    Returns:
      Whether there is something to go on with.

    Raises:
      UsageError: what is there is another job.
    """
    if draft.job is not None and not resume:
        draft.restart()
    if draft.job is None:
        draft.begin(json.dumps(job).encode())
        return False
    try:
        found = parse_json(draft.job)
    except ValueError:
        found = None
    if found != job:
        raise UsageError(
            f"Got an interrupted run at {draft.place!r} with {_difference(found, job)}; expected "
            "the same, or --no_resume to begin anew."
        )
    return True


def _difference(found: Any, job: dict[str, Any]) -> str:
    """What an interrupted run has that differs from what is requested now."""
    before, now = (dict(_leaves(document, "")) for document in (found, job))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if not isinstance(found, dict) or not changed:
        return "an unreadable job file"
    return ", ".join(
        f"{_name(key)} {_said(before.get(key))} instead of {_said(now.get(key))}" for key in changed
    )


def _name(key: str) -> str:
    return key.removeprefix("options ").replace("_", " ")


def _leaves(document: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(document, dict):
        yield path, document
        return
    for key, value in document.items():
        yield from _leaves(value, f"{path} {key}".strip())


def _said(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def kept_network(draft: Draft, scale: int) -> BaseNetwork | None:
    """The base network of a scale that an interrupted run fitted, if it came so far.

    Raises:
      FormatError: it is damaged.
    """
    note = draft.read_note(_network_note(scale))
    return None if note is None else _network(note)


def keep_network(draft: Draft, scale: int, base: BaseNetwork) -> BaseNetwork:
    """Keeps the base network of a scale with a draft.

    Returns:
      The network that counts: that of another process if it was first.
    """
    # The array gets its identity later.
    named = dataclasses.replace(base.configuration, identity=bytes(IDENTITY_BYTES))
    document = {"configuration": named.to_json(), "provenance": base.provenance}
    kept = draft.note(_network_note(scale), json.dumps(document).encode())
    draft.kept = True
    return _network(kept)


def _network(note: bytes) -> BaseNetwork:
    try:
        document = parse_json(note)
        configuration = CodecConfiguration.from_json(document["configuration"])
        base = dataclasses.replace(configuration, identity=None)
        return BaseNetwork(base, dict(document["provenance"]))
    except (ValueError, LookupError, TypeError) as error:
        raise FormatError(f"Got a damaged note of an interrupted run: {error}.") from None


def _network_note(scale: int) -> str:
    return f"network-{scale}.json"
