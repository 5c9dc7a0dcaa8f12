"""A lease: one holder at a time, and another after it has died."""

import json

import pytest

from jaxslice.storage import lease as module
from jaxslice.storage.folder import open_folder
from jaxslice.storage.lease import Lease


@pytest.fixture
def folder(tmp_path):
    return open_folder(tmp_path)


def test_one_holds_it_until_it_is_released(folder):
    with Lease(folder, "fit") as first:
        assert first.try_acquire()
        assert not Lease(folder, "fit").try_acquire()
        with Lease(folder, "other") as other:
            assert other.try_acquire()
    assert folder.list_keys() == []
    with Lease(folder, "fit") as second:
        assert second.try_acquire()


def test_it_is_renewed(folder, monkeypatch):
    with Lease(folder, "fit", seconds=0.3) as first:
        assert first.try_acquire()
        other, clock = Lease(folder, "fit", seconds=0.3), [0.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
        assert not other.try_acquire()
        before = folder.read("lease-fit")
        while folder.read("lease-fit") == before:
            pass
        clock[0] = 10.0
        assert not other.try_acquire()


def test_one_that_is_not_renewed_is_taken_over(folder, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    folder.write("lease-fit", b'{"token": "another machine\'s", "machine": "far away", "pid": 1}')
    with Lease(folder, "fit") as mine:
        assert not mine.try_acquire()
        clock[0] = module.LEASE_SECONDS + 1
        assert mine.try_acquire()
    assert folder.list_keys() == []


def test_one_of_a_process_that_has_ended_is_taken_over_at_once(folder):
    ended = {"token": "a", "machine": module._machine(), "pid": 2**22 + 1}
    folder.write("lease-fit", json.dumps(ended).encode())
    with Lease(folder, "fit") as mine:
        assert mine.try_acquire()


def test_a_damaged_one_lasts_its_time(folder):
    owner = {"token": "a", "machine": module._machine(), "pid": 2**70}
    for data in (json.dumps(owner).encode(), b"[" * 3000, b"\xff", b"[]", b'{"pid": -1}'):
        folder.write("lease-fit", data)
        with Lease(folder, "fit") as mine:
            assert not mine.try_acquire()


def test_what_was_taken_over_is_not_released_by_its_old_holder(folder):
    with Lease(folder, "fit") as first:
        assert first.try_acquire()
        folder.write("lease-fit", b'{"token": "another"}')
    assert folder.read("lease-fit") == b'{"token": "another"}'
