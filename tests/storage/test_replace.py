"""Local places: durable before they have their name, and nothing of a failure stays."""

import os
import sys
from pathlib import Path

import pytest

from jaxslice.core.errors import UsageError
from jaxslice.storage import replace
from jaxslice.storage.kind import Kind
from jaxslice.storage.replace import check_new_place, new_place
from jaxslice.storage.workspace import aside_of, content_of, workspace_of

KIND = Kind("a box", "lid", lambda lid: (lambda key: key in ("lid", "in/side")) if lid else None)


def write(place: Path, content: str, overwrite: bool = False) -> None:
    with new_place(str(place), KIND, overwrite) as partial:
        assert isinstance(partial, Path)
        (partial / "in").mkdir(parents=True)
        (partial / "lid").write_text(content)
        (partial / "in" / "side").write_text(content)


def test_everything_is_synced_before_the_rename(tmp_path, monkeypatch):
    events: list[object] = []
    fsync, rename = os.fsync, os.replace

    def recorded_sync(descriptor: int) -> None:
        events.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def recorded_rename(old: Path, new: Path) -> None:
        events.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", recorded_rename)
    write(tmp_path / "box", "new")
    synced = set(events[: events.index("rename")])
    folder = tmp_path / "box"
    assert synced == {p.stat().st_ino for p in (folder, *folder.rglob("*"))}
    assert events[events.index("rename") + 1 :] == [tmp_path.stat().st_ino]


def test_of_two_writers_one_is_refused(tmp_path):
    with new_place(str(tmp_path / "box"), KIND, False) as first:
        with (
            pytest.raises(UsageError, match="another process is writing"),
            new_place(str(tmp_path / "box"), KIND, False),
        ):
            pass
        assert isinstance(first, Path)
        first.mkdir()
    assert os.listdir(tmp_path) == ["box"]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    left = content_of(workspace_of(tmp_path / "box"))
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    write(tmp_path / "box", "new")
    assert os.listdir(tmp_path) == ["box"]
    assert not (tmp_path / "box" / "half").exists()


def test_a_kill_between_two_renames_loses_nothing(tmp_path):
    aside = aside_of(workspace_of(tmp_path / "box"))
    aside.mkdir(parents=True)
    (aside / "lid").write_text("old")
    with pytest.raises(UsageError, match="exists"), new_place(str(tmp_path / "box"), KIND, False):
        pass
    assert (tmp_path / "box" / "lid").read_text() == "old"


def test_there_is_always_a_folder_of_that_name(tmp_path, monkeypatch):
    """The names are swapped, where the system can: nothing is renamed in two steps."""
    write(tmp_path / "one", "1")
    write(tmp_path / "other", "2")
    assert replace._swap(tmp_path / "one", tmp_path / "other") == (sys.platform == "linux")
    renamed = []
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda *names: renamed.append(names) or rename(*names))
    write(tmp_path / "one", "3", overwrite=True)
    assert (tmp_path / "one" / "lid").read_text() == "3"
    assert sorted(os.listdir(tmp_path)) == ["one", "other"]
    assert (not renamed) == (sys.platform == "linux")


def test_names_that_cannot_be_swapped(tmp_path):
    assert not replace._swap(tmp_path / "none", tmp_path / "nor this")


def test_folders_are_replaced_by_renaming_where_names_cannot_be_swapped(tmp_path, monkeypatch):
    monkeypatch.setattr(replace, "_swap", lambda *_: False)
    write(tmp_path / "box", "old")
    write(tmp_path / "box", "new", overwrite=True)
    assert (tmp_path / "box" / "lid").read_text() == "new"
    assert os.listdir(tmp_path) == ["box"]


@pytest.mark.parametrize("at", ["rename to aside", "rename to final"])
def test_an_interrupted_exchange_keeps_the_old(tmp_path, monkeypatch, at: str):
    monkeypatch.setattr(replace, "_swap", lambda *_: False)
    write(tmp_path / "box", "old")
    rename = os.rename

    def interrupted(old: Path, new: Path) -> None:
        if (new.name == "old") == (at == "rename to aside"):
            monkeypatch.setattr(os, "rename", rename)
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "box", "new", overwrite=True)
    assert os.listdir(tmp_path) == ["box"]
    assert (tmp_path / "box" / "lid").read_text() == "old"


@pytest.mark.parametrize("link", [os.link, None])
def test_what_is_not_its_own_is_carried_over(tmp_path, monkeypatch, link):
    if link is None:

        def refuse(*_, **__) -> None:
            raise PermissionError(1, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "box", "old")
    (tmp_path / "box" / "in" / "other").write_text("mine")
    (tmp_path / "box" / "link").symlink_to("in")
    write(tmp_path / "box", "new", overwrite=True)
    box = tmp_path / "box"
    texts = [(box / name).read_text() for name in ("lid", "in/side", "in/other")]
    assert texts == ["new", "new", "mine"]
    assert (box / "link").readlink() == Path("in")
    assert os.listdir(tmp_path) == ["box"]


def test_the_check_leaves_nothing_and_says_what_the_work_would_say(tmp_path):
    check_new_place(str(tmp_path / "box"), KIND, False)
    assert os.listdir(tmp_path) == []
    write(tmp_path / "box", "old")
    with pytest.raises(UsageError, match="exists"):
        check_new_place(str(tmp_path / "box"), KIND, False)
    (tmp_path / "box" / "lid").unlink()
    with pytest.raises(UsageError, match="not a box"):
        check_new_place(str(tmp_path / "box"), KIND, True)
