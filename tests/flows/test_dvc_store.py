"""The contract with DVC: everything that flows/engine/dvc_store.py expects of calls that DVC does not document."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.engine.dvc_store import DvcStore
from flows.engine.project import init_project
from prior3d.errors import Prior3dError

FILE = "data/runs/{}/dvc.yaml"


@pytest.fixture
def store(tmp_path):
    before = Path.cwd()
    project, _ = init_project(tmp_path)
    yield DvcStore(project.root)
    os.chdir(before)


def declare(store, name="x", steps=3, words="in", code="c1"):
    folder = store.root / "data" / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.txt").write_text(words)
    (folder / "params.yaml").write_text(yaml.safe_dump({"a": {"steps": steps}}))
    (folder / "code.yaml").write_text(yaml.safe_dump({"a": code}))
    stage = {"cmd": "make a", "deps": ["in.txt"], "params": ["a", {"code.yaml": ["a"]}], "outs": ["a"],
             "metrics": ["a.cost.json"]}  # fmt: skip
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"a": stage}}))
    return folder


def make(folder, text):
    (folder / "a").mkdir(exist_ok=True)
    (folder / "a" / "f.txt").write_text(text)
    (folder / "a.cost.json").write_text('{"seconds": 1}')


def test_commit_then_nothing_has_changed(store):
    folder = declare(store)
    assert store.changed(FILE.format("x"), "a")
    make(folder, "made")
    store.commit(FILE.format("x"), "a")
    assert not store.changed(FILE.format("x"), "a")
    state = store.file_states(FILE.format("x"), ["a"])["a"]
    assert (state.inputs, state.outputs) == ({}, {})
    lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]["a"]
    assert lock["params"] == {"params.yaml": {"a": {"steps": 3}}, "code.yaml": {"a": "c1"}}
    assert [o["path"] for o in lock["outs"]] == ["a", "a.cost.json"]


def test_differences_of_files_are_named(store):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a")
    (folder / "in.txt").write_text("other")
    shutil.rmtree(folder / "a")
    state = store.file_states(FILE.format("x"), ["a"])["a"]
    assert state.inputs == {"in.txt": "modified"}
    assert state.outputs == {"a": "deleted"}


def test_restored_for_the_same_inputs_only(store):
    """A result of other inputs, parameters or code must never be taken for this one, whatever the lock says."""
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a")
    for change in ({"words": "other"}, {"steps": 4}, {"code": "c2"}):
        declare(store, **change)
        assert not store.restore(FILE.format("x"), "a"), change
        assert (folder / "a" / "f.txt").read_text() == "made"
    declare(store)
    shutil.rmtree(folder / "a")
    assert store.restore(FILE.format("x"), "a")
    assert (folder / "a" / "f.txt").read_text() == "made"


def test_restored_into_another_run_over_unknown_files(store):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a")
    other = declare(store, "y")
    make(other, "left by a kill")
    assert store.restore(FILE.format("y"), "a")
    assert (other / "a" / "f.txt").read_text() == "made"
    assert not store.changed(FILE.format("y"), "a")


def test_not_restored_when_the_objects_are_gone(store):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a")
    shutil.rmtree(store.root / ".dvc" / "cache" / "files")
    shutil.rmtree(folder / "a")
    assert not store.restore(FILE.format("x"), "a")


def test_works_where_git_ignores_runs(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/data/runs/\n")
    before = Path.cwd()
    store = DvcStore(init_project(tmp_path)[0].root)
    try:
        make(declare(store), "made")
        store.commit(FILE.format("x"), "a")
        assert not store.changed(FILE.format("x"), "a")
    finally:
        os.chdir(before)


def test_dvc_errors_are_one_line(store):
    declare(store)
    with pytest.raises(Prior3dError, match="DVC, in .*: .*does not exist") as caught:
        store.commit(FILE.format("x"), "a")
    assert "\n" not in str(caught.value)
