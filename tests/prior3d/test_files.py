"""Files are replaced whole, and are on the disk before they take the place of the old ones."""

import os

import pytest

from prior3d.errors import Prior3dError
from prior3d.files import write_or_explain, write_whole


@pytest.mark.parametrize("content", ["a name: Zoë\nline\n", b"\x00\xff"])
def test_content_arrives_and_nothing_else_is_left(tmp_path, content):
    for before in (None, "a longer content than the new one"):
        if before:
            (tmp_path / "file").write_text(before)
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == (content if isinstance(content, bytes) else content.encode())
        assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_content_is_on_the_disk_before_it_takes_the_place_of_the_old(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("old")
    synced, sync = [], os.fsync

    def note(descriptor):
        synced.append((os.path.samestat(os.fstat(descriptor), tmp_path.stat()), file.read_text()))
        sync(descriptor)

    monkeypatch.setattr("prior3d.files.os.fsync", note)
    write_whole(file, "new")
    assert synced == [(False, "old"), (True, "new")]  # first the file, then the folder that names it


def full_disk(_descriptor):
    raise OSError(28, "No space left on device")


def test_old_content_stays_where_the_new_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr("prior3d.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", "new")
    with pytest.raises(Prior3dError, match=r"file: could not be written \(No space left on device\). Free space"):
        write_or_explain(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_folders_are_made_or_the_reason_is_told(tmp_path):
    write_or_explain(tmp_path / "a" / "b" / "file", "x")
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"
    (tmp_path / "taken").write_text("")
    with pytest.raises(Prior3dError, match="could not be written"):
        write_or_explain(tmp_path / "taken" / "file", "x")
