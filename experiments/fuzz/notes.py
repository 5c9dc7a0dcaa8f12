"""What jobs, leases and scrubs keep beside an archive, and model files: anybody may write there.

An input is a letter that says which, and the bytes. A lease and signs of life are only hints, so
nothing in them is refused, and nothing in them may stop a job.
"""

from __future__ import annotations

import dataclasses
import re
import time

from fuzz.target import SEPARATOR, Target, may_refuse, scratch
from jaxslice.jobs import heartbeat, job_file, scrub_state, shard_notes, status
from jaxslice.jobs.agreement import agreed_array, agreed_of
from jaxslice.models import model_file
from jaxslice.storage.draft import Draft
from jaxslice.storage.folder import LocalFolder
from jaxslice.storage.lease import Lease
from jaxslice.volumes import n5, precomputed_writer, zarr_writer

_FOLDER = scratch()


class _Draft(Draft):
    """A draft whose every note is the same."""

    def __init__(self, data: bytes) -> None:
        self.place, self.folder = "a.zarr", LocalFolder("a.zarr", _FOLDER)
        self._job = self._data = data

    def read_note(self, name: str) -> bytes:
        return self._data

    def notes_of(self, prefix: str) -> list[str]:
        return [f"{prefix}a.json"]

    def _entry(self) -> None:
        """Nothing stands at the place."""

    def _bring(self, entry: bytes) -> None:
        raise AssertionError("nothing is written")

    def _clear(self) -> None:
        raise AssertionError("nothing is written")


@dataclasses.dataclass(frozen=True)
class _Folder(LocalFolder):
    """A folder whose every object is the same."""

    data: bytes = b""

    def read(
        self, key: str, timeout_seconds: float | None = None, part: slice | None = None
    ) -> bytes:
        return self.data


def _lease(data: bytes) -> None:
    lease = Lease(_Folder("a.zarr", _FOLDER, data), "work")
    assert lease._is_over(b"1", data) in (True, False)
    assert not lease._is_own()


def _beats(data: bytes) -> None:
    beats = heartbeat.read_beats(_Draft(data))
    for beat in beats:
        status._is_alive(beat, time.time(), False)
        status._writer(beat, time.time())
    assert isinstance(status._next_step("a.zarr", beats, False), str)


def _status(data: bytes) -> None:
    for shapes in status._scales(status._job(_Draft(data))):
        shape, block, shard = shapes
        assert min(*shape, *block, *shard) > 0, shapes
        assert status._blocks_in(["0/c/0/0/0", "0/c/0/0/1"], shapes) >= 0


def _owned(data: bytes) -> None:
    for kind in (n5.N5.kind, precomputed_writer.KIND, zarr_writer.KIND_2, zarr_writer.KIND_3):
        own = kind.own_keys(data)
        assert own is None or own("../x") is False


def _agreed(data: bytes) -> None:
    with may_refuse():
        agreed_of(_Draft(data))


def _array(data: bytes) -> None:
    with may_refuse():
        made = agreed_array(_Draft(data), 0)
        assert made is None or re.fullmatch(r"\d+[\w.-]*", made.path)


def _network(data: bytes) -> None:
    with may_refuse():
        job_file.kept_network(_Draft(data), 0)


def _job(data: bytes) -> None:
    with may_refuse():
        job_file.begin_or_resume(_Draft(data), {"options": {"a": 1}}, resume=True)


def _shard(data: bytes) -> None:
    with may_refuse():
        shard_notes._read_part(_Draft(data), 0, range(2))


def _scrub(data: bytes) -> None:
    path = _FOLDER / "scrub.json"
    path.write_bytes(data)
    with may_refuse():
        scrub_state.load_state(path, "a.zarr")


def _model(data: bytes) -> None:
    path = _FOLDER / "model.json"
    path.write_bytes(data)
    with may_refuse():
        model_file.load(str(path))


PARSERS = {
    b"l": _lease, b"b": _beats, b"s": _status, b"o": _owned, b"g": _agreed, b"a": _array,
    b"n": _network, b"j": _job, b"p": _shard, b"c": _scrub, b"m": _model,
}  # fmt: skip


def check(data: bytes) -> None:
    """Reads one of the notes."""
    letter, _, rest = data.partition(SEPARATOR)
    if letter in PARSERS:
        PARSERS[letter](rest)


TARGETS = (Target("notes", check, has_json=True),)
