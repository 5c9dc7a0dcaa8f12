"""Outputs are checked before the work, and the check leaves nothing behind."""

import pytest

from jaxslice.bench import demo, writable
from jaxslice.core.errors import UsageError


def test_a_check_leaves_nothing_behind(tmp_path):
    file = tmp_path / "new" / "b.csv"
    writable.check_file(file)
    assert list(file.parent.iterdir()) == []
    file.write_text("kept")
    writable.check_file(file)
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("check", "path", "message"),
    [
        (writable.check_folder, "file", "which is a file"),
        (writable.check_folder, "file/below", "expected a folder"),
        (writable.check_file, "file/below.csv", "which is a file"),
        (writable.check_file, ".", "which is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, check, path, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=message):
        check(tmp_path / path)


def test_a_folder_without_write_access_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(writable.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        demo.demo(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
