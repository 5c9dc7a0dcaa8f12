"""What has become of a job: running, dead or done, and how far it came. Reads only."""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import time
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from jaxslice.archive.keys import KIND, METADATA_KEY
from jaxslice.archive.store import Archive, open_scales
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.json_text import parse_json
from jaxslice.jobs.block_shape import (
    default_block_shape,
    fitted_block_shape,
    fitted_shard_shape,
)
from jaxslice.jobs.effort import effort_named
from jaxslice.jobs.heartbeat import SILENT_SECONDS, read_beats
from jaxslice.storage.draft import Draft
from jaxslice.storage.folder import LocalFolder, open_folder
from jaxslice.storage.location import OPEN_TIMEOUT_SECONDS, unreachable_is_usage_error
from jaxslice.storage.look import draft_to_look_at
from jaxslice.volumes.details import VoxelSize
from jaxslice.volumes.pooled import coarser_scale

RUNNING, DEAD, SEALED, NOT_SEALED = "running", "dead, resumable", "sealed", "complete, not sealed"

_BLOCK = re.compile(r"\d+/c/\d+/\d+/\d+")
"""A key of a stored block or shard in a local draft; files that are half written have others."""

_SIZES = 8
"""Objects that are read to estimate the bytes of all, where the storage does not say."""


def status(location: str | os.PathLike[str]) -> dict[str, Any]:
    """Says whether an archive is complete, or how far the job came that writes it.

    Args:
      location: of the archive, as `compress` was given it.

    Returns:
      A JSON object. `state` is one of running; dead, resumable; sealed; complete, not sealed.

    Raises:
      UsageError: there is neither an archive nor a job, or the storage cannot be reached.
      FormatError: the archive's metadata are damaged.

    >>> import jaxslice
    >>> jaxslice.status("volume.zarr")["state"]
    'sealed'
    """
    place = os.fspath(location)
    with unreachable_is_usage_error(place):
        found = draft_to_look_at(place, KIND)
        complete = open_folder(place).read(METADATA_KEY, OPEN_TIMEOUT_SECONDS) is not None
        job = None if found is None else _job_status(place, *found)
    if job is None and not complete:
        raise UsageError(f"Got {place!r}, where there is neither an archive nor a job of one.")
    if not complete:
        assert job is not None
        return {"archive": place, **job}
    archive = _archive_status(open_scales(place))
    # A job that replaces or extends what is there.
    return {"archive": place, **(job | {"replaces": archive} if job else archive)}


def _archive_status(scales: list[Archive]) -> dict[str, Any]:
    finest = scales[0]
    blocks = sum(scale.num_blocks for scale in scales)
    return {
        "state": SEALED if finest.seal else NOT_SEALED,
        "blocks_done": blocks,
        "num_blocks": blocks,
        "seal": finest.root,
    }


def _job_status(place: str, draft: Draft, locked: bool) -> dict[str, Any]:
    now = time.time()
    beats = read_beats(draft)
    job = _job(draft)
    stored = _stored(draft)
    seen = [beat["seen"] for beat in beats[:1]]
    if isinstance(draft.folder, LocalFolder):
        seen += _modified(draft.folder.root)
    quiet = now - max(seen) if seen else None
    local = isinstance(draft.folder, LocalFolder)
    alive = [beat for beat in beats if _is_alive(beat, now, local and not locked)]
    running = locked or bool(alive)
    scales = _scales(job)
    num_blocks = sum(math.prod(_grid(shape, block)) for shape, block, _ in scales) or None
    done = sum(
        _blocks_in(keys, scales[scale] if scale < len(scales) else None)
        for scale, keys in stored.items()
    )
    return {
        "state": RUNNING if running else DEAD,
        "blocks_done": done,
        "num_blocks": num_blocks,
        "part_done": None if not num_blocks else round(done / num_blocks, 4),
        **_bytes(draft, stored),
        "coarser_scales": {str(scale): len(keys) for scale, keys in stored.items() if scale},
        "network": "fitted" if draft.read_note("network-0.json") is not None else "not fitted yet",
        "seconds_since_last_activity": None if quiet is None else round(max(quiet, 0.0), 1),
        "writers": [_writer(beat, now) for beat in (alive if running else beats[:1])],
        "locked": locked,
        "to_go_on": _next_step(place, beats, running),
    }


def _is_alive(beat: dict[str, Any], now: float, unlocked: bool) -> bool:
    """Whether the process that left a sign is still at work, as far as can be seen from here."""
    if now - beat["seen"] >= SILENT_SECONDS:
        return False
    if beat.get("host") != socket.gethostname() or type(beat.get("pid")) is not int:
        return True
    # This process would hold the lock if it were the writer.
    return psutil.pid_exists(beat["pid"]) and not (unlocked and beat["pid"] == os.getpid())


def _job(draft: Draft) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        job = parse_json(draft.job or b"")
        if isinstance(job, dict):
            return job
    return {}


def _writer(beat: dict[str, Any], now: float) -> dict[str, Any]:
    said = {key: beat.get(key) for key in ("host", "pid", "part", "done", "total")}
    return {**said, "seconds_since_seen": round(max(now - beat["seen"], 0.0), 1)}


def _next_step(place: str, beats: list[dict[str, Any]], running: bool) -> str:
    if running:
        return "Nothing: it is running."
    commands = [str(beat["command"]) for beat in beats if "command" in beat]
    if commands:
        return commands[0]
    return f"the command that was interrupted: jaxslice compress SOURCE {place} ..."


def _stored(draft: Draft) -> dict[int, list[str]]:
    """Keys of the stored blocks or shards that are the job's, by scale."""
    if isinstance(draft.folder, LocalFolder):
        paths = draft.folder.root.glob("*/c/*/*/*")
        keys = [path.relative_to(draft.folder.root).as_posix() for path in paths]
        own, published = _BLOCK.fullmatch, None
    else:
        keys, own = draft.folder.list_keys(), KIND.own_keys(None)
        entry = draft.folder.read(METADATA_KEY)
        published = None if entry is None else KIND.own_keys(entry)
    found: dict[int, list[str]] = {}
    for key in keys:
        scale = key.partition("/")[0].partition("-")[0]
        mine = own is not None and own(key) and not (published and published(key))
        if mine and "/c/" in key:
            found.setdefault(int(scale), []).append(key)
    return dict(sorted(found.items()))


def _modified(root: Path) -> list[float]:
    """When a folder with blocks changed last."""
    times = []
    for path in [root, *root.glob("*/c"), *root.glob("*/c/*"), *root.glob("*/c/*/*")]:
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return times


def _bytes(draft: Draft, stored: dict[int, list[str]]) -> dict[str, Any]:
    """The bytes of the stored blocks; estimated from a few where the storage does not say."""
    keys = [key for some in stored.values() for key in some]
    if isinstance(draft.folder, LocalFolder):
        total = 0
        for key in keys:
            with contextlib.suppress(OSError):
                total += (draft.folder.root / key).stat().st_size
        return {"bytes_done": total, "bytes_estimated": False}
    some = keys[:: max(1, len(keys) // _SIZES)][:_SIZES]
    sizes = [len(draft.folder.read(key) or b"") for key in some]
    mean = sum(sizes) / len(sizes) if sizes else 0
    return {"bytes_done": round(mean * len(keys)), "bytes_estimated": len(keys) > len(some)}


_Shapes: TypeAlias = tuple[Triple, Triple, Triple]
"""Of the volume, its blocks and its objects."""


def _scales(job: dict[str, Any]) -> list[_Shapes]:
    """The shapes of all scales that a job makes, the finest first; none if it does not say.

    Those of coarser scales are as the plan would have them, now that the finest is known.
    """
    with contextlib.suppress(LookupError, TypeError, ValueError, OverflowError):
        block, options = _triple(job["block_shape"]), job["options"]
        shard = _triple(job["shard_shape"] or block)
        if min(*block, *shard) < 1:
            return []
        box, size = _volume(job["source"])
        shape = box.shape
        depth = effort_named(options["effort"]).block_depth
        usual = block == default_block_shape(shape, depth)
        found = [(shape, block, shard)]
        coarser = []
        for source in job["coarser_sources"]:
            box, size = _volume(source)
            coarser.append(box.shape)
        for _ in range(options["downsample"]):
            if (pooled := coarser_scale(size, box)) is None:
                break
            _, size, box = pooled
            coarser.append(box.shape)
        for shape in coarser:
            own = default_block_shape(shape, depth) if usual else fitted_block_shape(block, shape)
            found.append((shape, own, fitted_shard_shape(shard, own, shape)))
        return found
    return []


def _volume(source: dict[str, Any]) -> tuple[Box, VoxelSize]:
    """Box and voxel size of a source."""
    z, y, x = map(float, source["voxel_size_nm"])
    return Box.parse(str(source["box"])), (z, y, x)


def _triple(values: Any) -> Triple:
    z, y, x = map(int, values)
    return (z, y, x)


def _grid(shape: Triple, part: Triple) -> Triple:
    return _triple(-(-n // p) for n, p in zip(shape, part, strict=True))


def _blocks_in(keys: list[str], shapes: _Shapes | None) -> int:
    """Blocks of a scale that the stored objects hold."""
    if shapes is None or shapes[1] == shapes[2]:
        return len(set(keys))
    shape, block, shard = shapes
    grid, per_shard = _grid(shape, block), _grid(shard, block)
    indices = (_triple(key.split("/")[2:]) for key in keys)
    return sum(
        math.prod(max(0, min(p, n - i * p)) for i, p, n in zip(index, per_shard, grid, strict=True))
        for index in indices
    )
