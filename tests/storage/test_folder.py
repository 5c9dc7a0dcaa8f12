"""Folders of objects: written whole, read back, and handed to other processes."""

import pickle

import pytest
from fresh_python import modules_after
from servers import s3_bucket

from jaxslice.storage.folder import Folder, open_folder


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path, monkeypatch):
    if request.param == "local":
        yield str(tmp_path / "folder")
    else:
        with s3_bucket(monkeypatch):
            yield "s3://volumes/folder"


def test_objects(place: str):
    folder = open_folder(place)
    assert folder.read("a/b") is None
    folder.write("a/b", b"one")
    folder.write("a/b", b"two")
    folder.write("c", b"")
    assert (folder.read("a/b"), folder.read("c"), folder.read("a")) == (b"two", b"", None)
    assert sorted(folder.list_keys()) == ["a/b", "c"]
    folder.delete("a/b")
    folder.delete("never there")
    assert folder.list_keys() == ["c"]


def test_a_folder_pickles_while_it_is_open(place: str):
    folder = open_folder(place)
    folder.write("a", b"one")
    copy: Folder = pickle.loads(pickle.dumps(folder))
    assert copy == folder
    assert "_store" in vars(folder)
    assert "_store" not in vars(copy)
    assert copy.read("a") == b"one"
    copy.write("a", b"two")
    assert folder.read("a") == b"two"


def test_only_what_is_counted_is_counted(tmp_path):
    folder = open_folder(tmp_path)
    folder.write("own/1", b"123")
    folder.write("other", b"12345")
    assert folder.total_bytes(lambda key: key.startswith("own/")) == 3


def test_a_write_that_fails_is_an_os_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Cannot write 'file/a' of "):
        open_folder(tmp_path).write("file/a", b"1")


def test_reading_local_files_does_not_load_tensorstore(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    loaded = modules_after(
        "from jaxslice.storage.folder import open_folder; "
        f"assert open_folder({str(tmp_path)!r}).read('a') == b'1'"
    )
    assert "tensorstore" not in loaded
