"""Bringing versions back, carrying them away, throwing out what nothing needs."""

import hashlib
import json
import os
import re
import subprocess
import zipfile

import pytest
import yaml


def contents(folder):
    """Path -> digest of everything that the stages made."""
    files = [p for s in ("counting", "shouting", "joining", "losses") for p in (folder / s).rglob("*") if p.is_file()]
    files += folder.glob("*.cost.json")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_restore_brings_a_version_back_byte_for_byte(fake):
    fake.run()
    first, lock = contents(fake.folder()), (fake.folder() / "dvc.lock").read_text()
    fake.run("--set", "counting.steps=5", prompt="three four")
    assert contents(fake.folder()) != first
    code, out, err = fake.cli("restore", "demo@1")
    assert (code, err) == (0, "") and "run demo is as it was in demo@1 (now version 3)" in out
    assert contents(fake.folder()) == first and (fake.folder() / "dvc.lock").read_text() == lock
    assert (fake.folder() / "inputs" / "prompt.txt").read_text() == "one two\n"
    assert yaml.safe_load((fake.folder() / "params.yaml").read_text())["counting"]["steps"] == 3
    assert fake.cli("plan", "demo")[1].count("unchanged") == 3
    assert "restore of 1" in fake.cli("log", "demo")[1]
    fake.cli("restore", "demo@2")
    assert (fake.folder() / "inputs" / "prompt.txt").read_text() == "three four\n"
    assert fake.text("joining").startswith("<three four")


def test_restore_puts_back_what_was_edited(fake):
    fake.run()
    first = contents(fake.folder())
    (fake.folder() / "joining" / "text.txt").write_text("edited\n")
    (fake.folder() / "shouting" / "text.txt").unlink()
    assert fake.cli("restore", "demo")[0] == 0
    assert contents(fake.folder()) == first
    assert len(list((fake.folder() / "history").glob("*.lock"))) == 1


@pytest.mark.slow
def test_restore_of_old_code_says_that_the_code_has_changed(fake):
    fake.run()
    fake.edit("shouting/stage.py", "text.upper()", "text.title()")
    fake.run()
    fake.cli("restore", "demo@1")
    assert fake.text("shouting").startswith("ONE TWO")
    assert "code changed" in fake.cli("plan", "demo")[1]


def rot(path):
    """Other bytes in a file whose size and time stay, as on a disk that fails; returns the ones before."""
    untouched, before = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_text("x" * untouched.st_size)
    os.utime(path, ns=(untouched.st_atime_ns, untouched.st_mtime_ns))
    return before


@pytest.mark.slow
def test_reread_looks_at_what_need_not_be_copied(fake):
    from flows.engine.project import Project
    from flows.versions.history import find_version

    fake.run()
    version = find_version(Project(fake.project), "demo@1")
    rot(version.objects.path(version.files("counting")["counting/text.txt"]))
    code, _, err = fake.cli("restore", "demo@1", "--reread")
    assert code == 2 and "counting/text.txt is damaged in DVC's cache" in err


@pytest.mark.slow
def test_damaged_and_collected_objects_are_refused_before_anything_changes(fake):
    from flows.engine.project import Project
    from flows.versions.history import find_version

    fake.run()
    fake.run("--set", "counting.steps=2")
    version = find_version(Project(fake.project), "demo@1")
    path = version.objects.path(version.files("counting")["counting/text.txt"])
    before = contents(fake.folder())
    rot(path)
    code, _, err = fake.cli("restore", "demo@1")  # what is copied is read
    assert code == 2 and "counting/text.txt is damaged in DVC's cache" in err
    path.write_text("something else")
    code, _, err = fake.cli("restore", "demo@1")
    assert code == 2 and "counting/text.txt is damaged in DVC's cache" in err and len(err.splitlines()) == 1
    path.unlink()
    code, _, err = fake.cli("restore", "demo@1")
    assert code == 2 and "demo@1: its files were collected: 1 are no longer in DVC's cache" in err
    assert len(err.splitlines()) == 1 and contents(fake.folder()) == before
    assert "~ counting  0 of 2 files" in fake.cli("diff", "demo@1", "demo@2")[1]  # what is known is still told


def test_nothing_is_garbage_while_versions_need_it(fake):
    fake.run()
    fake.run("--set", "counting.steps=2")
    code, out, _ = fake.cli("gc", "--yes")
    assert code == 0 and out.startswith("nothing to remove: ") and "needed by 3 locks" in out
    assert fake.cli("restore", "demo@1")[0] == 0


def test_gc_removes_what_a_deleted_run_left(fake, monkeypatch):
    import io
    import shutil

    fake.run()
    fake.run("--set", "counting.steps=5", name="other")
    shutil.rmtree(fake.folder("other"))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, _ = fake.cli("gc")
    assert code == 0 and "are needed by no version" in out and "nothing was removed" in out
    before = contents(fake.folder())
    code, out, _ = fake.cli("gc", "--yes")
    assert code == 0 and "removed " in out and re.search(r"\(\d+ (bytes|kB)\)", out)
    assert fake.cli("gc", "--yes")[1].startswith("nothing to remove")
    assert fake.cli("restore", "demo@1")[0] == 0 and contents(fake.folder()) == before
    _, out, _ = fake.run("--set", "counting.steps=5", name="other")  # its results are forgotten, not half remembered
    assert fake.outcomes(out)["counting"] == "Completed"


@pytest.mark.slow
def test_gc_keeps_the_newest_versions_only_when_asked(fake):
    for steps in (2, 3, 4):
        fake.run("--set", f"counting.steps={steps}")
    assert fake.cli("gc", "--yes", "--keep", "1")[0] == 0
    assert fake.cli("restore", "demo@3")[0] == 0
    code, _, err = fake.cli("restore", "demo@1")
    assert code == 2 and "its files were collected" in err
    code, _, err = fake.cli("gc", "--keep", "0")
    assert code == 2 and "--keep" in err


@pytest.mark.slow
def test_gc_keeps_what_git_commits_need(fake):
    import shutil

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *words], cwd=fake.project, check=True, capture_output=True)

    git("init", "-q")
    fake.run()
    git("add", "-A")
    git("commit", "-qm", "one")
    fake.run("--set", "counting.steps=2")
    shutil.rmtree(fake.folder() / "history")
    assert fake.cli("gc", "--yes")[1].startswith("nothing to remove")
    assert fake.cli("restore", "demo@HEAD")[0] == 0 and fake.text("counting").startswith("one two")
    shutil.rmtree(fake.folder())
    assert "removed" in fake.cli("gc", "--yes", "--forget-commits")[1]


@pytest.mark.slow
def test_gc_refuses_a_cache_that_others_share(fake, tmp_path):
    (fake.project / ".dvc" / "config").write_text(f"[cache]\n    dir = {tmp_path / 'shared'}\n")
    fake.run()
    code, _, err = fake.cli("gc", "--yes")
    assert code == 2 and "outside this project" in err and len(err.splitlines()) == 1
    assert "= counting  same to the byte" in fake.cli("diff", "demo@1", "demo")[1]


@pytest.mark.slow
def test_the_cache_is_where_dvc_has_it(fake, tmp_path):
    from flows.engine.dvc_store import DvcStore
    from flows.versions.objects import Objects

    for line in ("", "[cache]\n    dir = ../elsewhere\n", f"[cache]\n    dir = {tmp_path / 'there'}\n"):
        (fake.project / ".dvc" / "config").write_text(line)
        with DvcStore(fake.project)._repo() as repo:
            assert str(Objects(fake.project).folder) == repo.cache.local.path, line


def test_export(fake, tmp_path):
    fake.run()
    fake.run("--set", "counting.steps=2")
    code, out, _ = fake.cli("export", "demo@1", "--to", str(tmp_path / "out" / "here"))
    folder = tmp_path / "out" / "here"
    assert code == 0 and "demo@1:" in out
    assert yaml.safe_load((folder / "params.yaml").read_text())["counting"]["steps"] == 3
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["version"] == 1 and provenance["inputs"]["prompt"]["text"] == "one two"
    for path, entry in provenance["files"].items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == entry["sha256"]
    assert {"counting/text.txt", "joining/text.txt", "params.yaml", "index.html"} <= set(provenance["files"])
    code, _, err = fake.cli("export", "demo", "--to", str(folder))
    assert code == 2 and "exists and is not an empty folder" in err
    assert fake.cli("export", "demo", "--to", str(tmp_path / "demo.zip"))[0] == 0
    with zipfile.ZipFile(tmp_path / "demo.zip") as archive:
        assert archive.read("demo/counting/text.txt") == (fake.folder() / "counting" / "text.txt").read_bytes()
        assert "demo/provenance.json" in archive.namelist()
    code, _, err = fake.cli("export", "demo", "--to", str(tmp_path / "demo.zip"))
    assert code == 2 and "demo.zip exists" in err
    (tmp_path / "file").write_text("")
    code, _, err = fake.cli("export", "demo", "--to", str(tmp_path / "file" / "demo"))
    assert code == 2 and "cannot be written" in err
