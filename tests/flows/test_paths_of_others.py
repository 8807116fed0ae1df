"""Paths out of somebody else's files: nothing outside the run's folder is removed or written for them."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from prior3d.errors import Prior3dError
from prior3d.inside import climbs, lies_inside, remove, resolved_inside


@pytest.fixture
def precious(tmp_path):
    """A folder beside the project."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "text.txt").write_text("a year's work")
    return tmp_path / "precious"


def is_whole(precious):
    return [p.name for p in precious.iterdir()] == ["text.txt"] and (
        (precious / "text.txt").read_text() == "a year's work"
    )


def add_to_lock(fake, path):
    """A stage that the method lacks, with one output."""
    lock = fake.folder() / "dvc.lock"
    values = yaml.safe_load(lock.read_text())
    values["stages"]["gone"] = {"cmd": "x", "outs": [{"path": path, "hash": "md5", "md5": f"{'0' * 32}.dir"}]}
    lock.write_text(yaml.safe_dump(values))


@pytest.mark.parametrize("command", ["run", "restore"])
@pytest.mark.parametrize(
    "path", ["../../../../precious", "ABSOLUTE", "link/precious", "counting/../../../../../precious"]
)
def test_lock_that_names_a_folder_outside(fake, precious, command, path):
    assert fake.run()[0] == 0
    (fake.folder() / "link").symlink_to(precious.parent)
    add_to_lock(fake, path.replace("ABSOLUTE", str(precious)))
    code, _, err = fake.run() if command == "run" else fake.cli("restore", "demo@1")
    assert is_whole(precious)
    assert code == 2 and "its dvc.lock names" in err and "does not lie in" in err and "nothing was touched" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("path", ["../../../../precious", "ABSOLUTE"])
@pytest.mark.parametrize("kind", ["outs", "deps"])
@pytest.mark.parametrize("command", [("status", "demo"), ("verify", "demo"), ("log", "demo"), ("open", "demo")])
def test_a_folder_outside_that_a_stage_of_the_lock_names_is_not_looked_into(
    fake, precious, monkeypatch, path, kind, command
):
    """`/` would be read whole."""
    assert fake.run()[0] == 0
    lock = fake.folder() / "dvc.lock"
    values = yaml.safe_load(lock.read_text())
    values["stages"]["joining"][kind][0] |= {"path": path.replace("ABSOLUTE", str(precious)), "md5": f"{'0' * 32}.dir"}
    lock.write_text(yaml.safe_dump(values))
    seen, walk, scandir = [], os.walk, os.scandir
    monkeypatch.setattr(os, "walk", lambda top, **more: (seen.append(str(top)), walk(top, **more))[1])
    monkeypatch.setattr(os, "scandir", lambda top=".": (seen.append(str(top)), scandir(top))[1])
    words = [*command, "--no-browser"] if command[0] == "open" else command
    assert fake.cli(*words)[0] in (0, 1, 2)
    assert not [place for place in seen if Path(place).resolve() == precious.resolve()]


@pytest.mark.parametrize("path", ["history", "history/0001.lock", "inputs/prompt.txt", "dvc.lock"])
def test_lock_that_names_what_is_the_runs_own(fake, path):
    assert fake.run()[0] == 0
    add_to_lock(fake, path)
    code, _, err = fake.run()
    assert code == 2 and f"names {path!r} as an output, which is the run's own" in err
    assert (fake.folder() / path).exists()


def test_nothing_goes_where_one_path_of_several_is_outside(fake, precious):
    assert fake.run("--set", "echoing=on")[0] == 0
    lock = fake.folder() / "dvc.lock"
    values = yaml.safe_load(lock.read_text())
    values["stages"]["echoing"]["outs"].append({"path": "../../../../precious"})
    lock.write_text(yaml.safe_dump(values))
    assert fake.run()[0] == 2
    assert is_whole(precious) and (fake.folder() / "echoing" / "text.txt").is_file()


@pytest.mark.parametrize("command", ["run", "restore"])
def test_output_that_is_a_link_to_a_folder_outside(fake, precious, command):
    assert fake.run()[0] == 0
    shutil.rmtree(fake.folder() / "counting")
    (fake.folder() / "counting").symlink_to(precious)
    code, _, err = fake.run() if command == "run" else fake.cli("restore", "demo@1")
    assert is_whole(precious)
    assert code == 2 and f"a link to {precious}" in err


@pytest.mark.parametrize("command", ["run", "restore", "export"])
def test_list_in_the_cache_that_climbs_out(fake, precious, command):
    assert fake.run()[0] == 0
    outs = yaml.safe_load((fake.folder() / "dvc.lock").read_text())["stages"]["counting"]["outs"]
    md5 = next(out["md5"] for out in outs if out["path"] == "counting")
    listed = fake.project / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    entries = json.loads(listed.read_text())
    listed.chmod(0o644)
    text = next(entry for entry in entries if entry["relpath"] == "text.txt")
    listed.write_text(json.dumps([{**text, "relpath": "../../../../../precious/text.txt"}]))
    listed.chmod(0o444)  # as DVC leaves it, who trusts it then
    shutil.rmtree(fake.folder() / "counting")
    words = {"restore": ["restore", "demo@1"], "export": ["export", "demo", "--to", str(precious.parent / "out" / "x")]}
    code, _, err = fake.run() if command == "run" else fake.cli(*words[command])
    assert is_whole(precious) and not (precious.parent / "out").exists()
    assert code == 2 and "precious/text.txt" in err


def test_collecting_leaves_a_linked_folder_alone(fake, precious):
    assert fake.run()[0] == 0
    objects = fake.project / ".dvc" / "cache" / "files" / "md5"
    free = next(f"{n:02x}" for n in range(256) if not (objects / f"{n:02x}").exists())
    (objects / free).symlink_to(precious)
    assert fake.cli("gc", "--yes")[0] == 0
    assert is_whole(precious)


def test_what_lies_inside(tmp_path):
    folder = tmp_path / "real"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "name").symlink_to(folder)  # the run itself may lie elsewhere
    (folder / "file").symlink_to(tmp_path / "cache")
    for path in ("a", "a/b", "not/there", str(folder / "a"), "a/../c", "file"):
        assert folder in resolved_inside(tmp_path / "name", path, "the lock").parents
        assert lies_inside(tmp_path / "name", path)
    for path in ("", ".", "..", "a/..", "../real", "../else", "/", str(tmp_path)):
        assert not lies_inside(tmp_path / "name", path)
        with pytest.raises(Prior3dError, match="the lock names"):
            resolved_inside(folder, path, "the lock")


def test_removing(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("folder", "link", "not there"):
        remove(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("path", ["../a", "a/../b", "/a", "..\\a", "\\a"])
def test_climbing(path):
    assert climbs(path)


@pytest.mark.parametrize("path", ["a/b", "a..b", "..a"])
def test_not_climbing(path):
    assert not climbs(path)
