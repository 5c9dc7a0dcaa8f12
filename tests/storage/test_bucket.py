"""Places in buckets: the old content is whole until the new one is, and foreign objects stay."""

import numpy as np
import pytest
from servers import s3_bucket

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.storage import bucket
from jaxslice.storage.folder import RemoteFolder, open_folder
from jaxslice.storage.kind import Kind
from jaxslice.storage.replace import check_new_place, new_place
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.source import open_source

PLACE = "s3://volumes/box"


def _own_keys(lid: bytes | None):
    return None if lid == b"another" else lambda key: key == "lid" or key.startswith("in/")


KIND = Kind("a box", "lid", _own_keys)
OLD = {"in/1": b"old", "in/2": b"old", "lid": b"old", "labels/1": b"mine"}
NEW = {"in/1": b"new", "in/3": b"new", "lid": b"new"}


@pytest.fixture(autouse=True)
def server(monkeypatch):
    with s3_bucket(monkeypatch):
        yield


def objects() -> dict[str, bytes | None]:
    folder = open_folder(PLACE)
    return {key: folder.read(key) for key in folder.list_keys()}


def fill(content: dict[str, bytes]) -> None:
    for key, data in content.items():
        open_folder(PLACE).write(key, data)


def write(overwrite: bool, error: type[BaseException] | None = None) -> None:
    with new_place(PLACE, KIND, overwrite) as spec:
        assert isinstance(spec, dict)
        for key, data in NEW.items():
            RemoteFolder(PLACE, spec).write(key, data)
        if error:
            raise error("cut")


def test_a_new_place_is_written_in_place_after_what_a_killed_run_left():
    fill({"in/9": b"stale", "labels/1": b"mine"})
    write(overwrite=False)
    assert objects() == {**NEW, "labels/1": b"mine"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_deletes_what_was_written(error):
    fill({"labels/1": b"mine"})
    with pytest.raises(error):
        write(overwrite=False, error=error)
    assert objects() == {"labels/1": b"mine"}


def test_what_a_killed_run_has_hidden_is_found_and_removed():
    fill({"labels/1": b"mine", ".partial-1/in/1": b"staged by another that was killed"})
    killed = new_place(PLACE, KIND, False)
    spec = killed.__enter__()
    assert isinstance(spec, dict)
    for key, data in {**NEW, "in/8": b"of the killed one"}.items():
        RemoteFolder(PLACE, spec).write(key, data)
    bucket.hide_entry(RemoteFolder(PLACE, spec), KIND)
    assert "lid" not in objects()
    write(overwrite=False)
    assert objects() == {**NEW, "labels/1": b"mine"}


@pytest.mark.parametrize("key", ["precomputed", "zarr3"])
def test_a_volume_opens_when_all_of_it_is_there(key):
    box = Box.of_shape((2, 4, 6))
    voxels = np.ones(box.shape, np.uint8)
    with create_destination(PLACE, box, (1, 1, 1), dest_format=key) as made:
        made.write(box, voxels)
        with pytest.raises(UsageError):
            open_source(PLACE)
    np.testing.assert_array_equal(open_source(PLACE).read(box), voxels)


def test_replacing_waits_for_the_end_and_keeps_what_is_not_its_own():
    fill(OLD)
    with new_place(PLACE, KIND, overwrite=True) as spec:
        assert isinstance(spec, dict)
        for key, data in NEW.items():
            RemoteFolder(PLACE, spec).write(key, data)
        meanwhile = objects()
        assert {key: meanwhile[key] for key in OLD} == OLD
    assert objects() == {**NEW, "labels/1": b"mine"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_keeps_the_old(error):
    fill(OLD)
    with pytest.raises(error):
        write(overwrite=True, error=error)
    assert objects() == OLD


def test_a_switch_that_fails_leaves_nothing_that_opens(monkeypatch):
    fill(OLD)
    copy = bucket._copy

    def fails(source, target, key) -> None:
        if key == "in/3":
            raise OSError("cable cut")
        copy(source, target, key)

    monkeypatch.setattr(bucket, "_copy", fails)
    with pytest.raises(OSError, match="cable cut"):
        write(overwrite=True)
    assert "lid" not in objects()
    assert objects()["labels/1"] == b"mine"


def test_refusals():
    fill(OLD)
    for check in (check_new_place, lambda *a: new_place(*a).__enter__()):
        with pytest.raises(UsageError, match="exists"):
            check(PLACE, KIND, False)
        with pytest.raises(UsageError, match="cannot be remote"):
            check(PLACE, Kind("a file"), False)
        with pytest.raises(UsageError, match="read only"):
            check("http://127.0.0.1:9/box", KIND, False)
    fill({"lid": b"another"})
    with pytest.raises(UsageError, match="not a box"):
        check_new_place(PLACE, KIND, True)


def test_access_is_checked_before_the_work(monkeypatch):
    monkeypatch.setattr(
        RemoteFolder, "write", lambda *_: (_ for _ in ()).throw(OSError("Access denied."))
    )
    with pytest.raises(UsageError, match="Access denied"):
        check_new_place(PLACE, KIND, False)
    assert objects() == {}


def test_who_may_only_write_can_create_a_place(monkeypatch):
    def refuse(*_) -> None:
        raise OSError("Access denied.")

    with monkeypatch.context() as limited:
        limited.setattr(RemoteFolder, "delete", refuse)
        limited.setattr(RemoteFolder, "list_keys", refuse)
        write(overwrite=False)
        with pytest.raises(KeyboardInterrupt) as caught:
            write_elsewhere_and_stop()
    assert caught.value.__notes__ == ["s3://volumes/elsewhere is incomplete."]
    assert {key: objects()[key] for key in NEW} == NEW


def write_elsewhere_and_stop() -> None:
    with new_place("s3://volumes/elsewhere", KIND, False) as spec:
        assert isinstance(spec, dict)
        RemoteFolder(PLACE, spec).write("in/1", b"new")
        raise KeyboardInterrupt
