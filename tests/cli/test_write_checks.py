"""Whether a result can be written is checked before any work."""

import os
import sys

import pytest

from jaxslice.core.errors import UsageError
from jaxslice.core.writable import check_writable


@pytest.fixture
def places(tmp_path, small_volume, small_archive):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    return {"t": tmp_path, "volume": small_volume.path, "archive": small_archive}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compress", "{volume}", "{t}/none/a.zarr"], "it does not exist"),
        (["compress", "{volume}", "{t}/file/a.zarr"], "Not a directory"),
        (["compress", "{volume}", "{t}/folder"], "exists, expected a new name or --overwrite"),
        (["decompress", "{archive}", "{t}/none/b.npy"], "it does not exist"),
        (["decompress", "{archive}", "{t}/file/b"], "Not a directory"),
        (["decompress", "{archive}", "{t}/file"], "exists, expected a new name or --overwrite"),
        (["train", "{volume}", "--output={t}/none/m.json"], "it does not exist"),
        (["train", "{volume}", "--output={t}/file"], "exists, expected a new name or --overwrite"),
        (["train", "{volume}", "--output={t}/file/m"], "Not a directory"),
        (["train", "{volume}", "--output=s3://bucket/m"], "expected a local path"),
        (["train", "{volume}", "--output={t}/m", "--checkpoint_dir={t}/file/s"], "Not a directory"),
        (["demo", "--output={t}/file"], "Not a directory"),
        (["demo", "--output={t}/file/deep"], "Not a directory"),
        (["demo", "--output=gs://bucket/demo"], "expected a local path"),
        (["bench", "--output={t}/file/b.csv"], "Not a directory"),
        (["bench", "--output={t}/folder"], "which is a folder"),
        (["bench", "--output={t}/b.csv", "--plot={t}/none/b.png"], "it does not exist"),
        (["bench", "--output={t}/b.csv", "--plot={t}/file/b.png"], "Not a directory"),
    ],
)
def test_places_that_cannot_be_written(places, capsys, words, message):
    from jaxslice.cli import main

    before = sorted(places["t"].rglob("*"))
    code = main.run(["jaxslice", *(word.format(**places) for word in words)])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert ".partial" not in err
    assert sorted(places["t"].rglob("*")) == before


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    "words",
    [
        ["compress", "{volume}", "{t}/a.zarr"],
        ["compress", "{volume}", "{t}/folder", "--overwrite"],
        ["decompress", "{archive}", "{t}/file", "--overwrite"],
        ["train", "{volume}", "--output={t}/file", "--overwrite"],
        ["train", "{volume}", "--output={t}/m", "--checkpoint_dir={t}/new/states"],
        ["demo", "--output={t}/new/deep"],
        ["bench", "--output={t}/new/b.csv", "--plot={t}/b.png"],
    ],
)
def test_places_that_can_be_written_are_let_through(places, words):
    from jaxslice.cli import main

    before = sorted(places["t"].rglob("*"))
    with pytest.raises(AssertionError, match="the work has begun"):
        main.run(["jaxslice", *(word.format(**places) for word in words)])
    assert sorted(places["t"].rglob("*")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a file system of Linux")
def test_permission_bits_are_not_believed():
    """The super-user may write everywhere, says `os.access`; /proc takes no files all the same."""
    if os.geteuid() == 0:
        assert os.access("/proc", os.W_OK)
    with pytest.raises(UsageError, match=r"no file can be created there|Permission denied"):
        check_writable("/proc/jaxslice")
