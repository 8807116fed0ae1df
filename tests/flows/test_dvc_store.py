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

NUMBERS = [1e-06, 1.5e-07, -2e10, 1e-15, 0.5, 3, -7, 0, 1e22, float("inf"), True, None, [1e-06, 2], {"a": {"b": 1e-9}}]
TEXTS = [
    "",
    "1e",
    "on",
    "no",
    "true",
    "null",
    "~",
    "012",
    "12:30:45",
    "0x1F",
    "2026-01-01",
    "a: b",
    "<<",
    "\u00e9 \u2713",
]
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
    store.commit(FILE.format("x"), "a", warn=print)
    assert not store.changed(FILE.format("x"), "a")
    state = store.file_states(FILE.format("x"), ["a"])["a"]
    assert (state.inputs, state.outputs) == ({}, {})
    lock = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]["a"]
    assert lock["params"] == {"params.yaml": {"a": {"steps": 3}}, "code.yaml": {"a": "c1"}}
    assert [o["path"] for o in lock["outs"]] == ["a", "a.cost.json"]


def test_differences_of_files_are_named(store):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    (folder / "in.txt").write_text("other")
    shutil.rmtree(folder / "a")
    state = store.file_states(FILE.format("x"), ["a"])["a"]
    assert state.inputs == {"in.txt": "modified"}
    assert state.outputs == {"a": "deleted"}


def test_restored_for_the_same_inputs_only(store):
    """A result of other inputs, parameters or code must never be taken for this one, whatever the lock says."""
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    for change in ({"words": "other"}, {"steps": 4}, {"code": "c2"}):
        declare(store, **change)
        assert not store.restore(FILE.format("x"), "a", warn=print), change
        assert (folder / "a" / "f.txt").read_text() == "made"
    declare(store)
    shutil.rmtree(folder / "a")
    assert store.restore(FILE.format("x"), "a", warn=print)
    assert (folder / "a" / "f.txt").read_text() == "made"


def test_restored_into_another_run_over_unknown_files(store):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    other = declare(store, "y")
    make(other, "left by a kill")
    assert store.restore(FILE.format("y"), "a", warn=print)
    assert (other / "a" / "f.txt").read_text() == "made"
    assert not store.changed(FILE.format("y"), "a")


def test_not_restored_when_the_objects_are_gone(store):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    shutil.rmtree(store.root / ".dvc" / "cache" / "files")
    shutil.rmtree(folder / "a")
    assert not store.restore(FILE.format("x"), "a", warn=print)


def test_works_where_git_ignores_runs(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/data/runs/\n")
    before = Path.cwd()
    store = DvcStore(init_project(tmp_path)[0].root)
    try:
        make(declare(store), "made")
        store.commit(FILE.format("x"), "a", warn=print)
        assert not store.changed(FILE.format("x"), "a")
    finally:
        os.chdir(before)


def test_dvc_errors_are_one_line(store):
    declare(store)
    with pytest.raises(Prior3dError, match="DVC, in .*: .*does not exist") as caught:
        store.commit(FILE.format("x"), "a", warn=print)
    assert "\n" not in str(caught.value)


def results(store):
    return list((store.root / ".dvc" / "cache" / "runs").glob("*/*"))


def test_an_entry_of_the_cache_of_results_is_known_by_its_name(store):
    """What decides whether an entry is whole: its name is the digest of its content, whatever the parameters are."""
    values = {str(i): value for i, value in enumerate([*NUMBERS, *TEXTS])}
    folder = declare(store, steps=values)
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    declare(store, "y", steps=values)
    assert store.restore(FILE.format("y"), "a", warn=print)
    assert len(list(results(store)[0].iterdir())) == 1


def folder_instead(place):
    entry = next(place.iterdir())
    entry.unlink()
    entry.mkdir()


def content(new):
    return lambda place: next(place.iterdir()).write_bytes(new)


DAMAGES = {
    "no entry": lambda place: next(place.iterdir()).unlink(),
    "a folder": folder_instead,
    "a file in the folder's place": lambda place: (shutil.rmtree(place), place.write_text("")),
    "empty": content(b""),
    "zeroes": content(bytes(300)),
    "no UTF-8": content(b"\xff\xfe\x81"),
    "no mapping": content(b"- 1\n"),
    "a tag": content(b"!!python/object:os.system {}\n"),
    "another entry": lambda place: content(next(place.iterdir()).read_bytes().replace(b"steps: 3", b"steps: 4"))(place),
    "half of it": lambda place: content(next(place.iterdir()).read_bytes()[:60])(place),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_cache_of_results_is_a_miss_and_is_mended(store, damage):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    (place,) = results(store)
    whole = {p.name: p.read_bytes() for p in place.iterdir()}
    damage(place)
    shutil.rmtree(folder)
    folder = declare(store)
    assert not store.restore(FILE.format("x"), "a", warn=print)
    damage(place) if place.exists() else place.mkdir(parents=True)  # a kill again, now with an output there
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    assert {p.name: p.read_bytes() for p in place.iterdir()} == whole
    declare(store, "y")
    assert store.restore(FILE.format("y"), "a", warn=print)


def flip(path):
    """One bit, and the times and rights as they were: what a worn disk does."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    path.chmod(0o444)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("which", ["f.txt", "the list of a", "a.cost.json"])
@pytest.mark.parametrize("own", [True, False], ids=["the run itself", "another run"])
def test_a_damaged_object_is_never_restored(store, which, own):
    folder = declare(store)
    make(folder, "made")
    store.commit(FILE.format("x"), "a", warn=print)
    objects = {p: p.read_bytes() for p in (store.root / ".dvc" / "cache" / "files" / "md5").glob("*/*")}
    is_it = {"f.txt": b"made", "a.cost.json": b'{"seconds": 1}'}
    damaged = next(
        p for p, c in objects.items() if c == is_it.get(which, c) and (which in is_it) != (p.suffix == ".dir")
    )
    flip(damaged)
    shutil.rmtree(folder / "a")
    (folder / "a.cost.json").unlink()
    name, said = "x" if own else "y", []
    declare(store, name)
    assert not store.restore(FILE.format(name), "a", warn=said.append)
    assert not (folder.parent / name / "a").exists()
    make(folder.parent / name, "made")
    store.commit(FILE.format(name), "a", warn=said.append)
    assert len(said) == 1 and "is damaged in DVC's cache; " in said[0] and "\n" not in said[0]
    assert which in said[0] and f"({damaged.parent.name}/{damaged.name})" in said[0]
    assert {p: p.read_bytes() for p in objects} == objects
    declare(store, "z")
    assert store.restore(FILE.format("z"), "a", warn=said.append)
    assert (folder.parent / "z" / "a" / "f.txt").read_text() == "made"


@pytest.mark.parametrize("damage", [(b"relpath", b"rehpath"), (b"[{", b"{}"), (b'"md5": "', b'"md6": "')])
def test_a_list_of_a_folder_that_is_json_but_no_list_is_not_there(fake, damage):
    fake.run()
    store = DvcStore(fake.project)
    for listed in (fake.project / ".dvc" / "cache").rglob("*.dir"):
        listed.chmod(0o644)
        whole = listed.read_bytes()
        listed.write_bytes(b"{}" if damage[1] == b"{}" else whole.replace(*damage))
    states = store.file_states("data/runs/demo/dvc.yaml", ["counting", "shouting", "joining"])
    assert all("not in cache" in state.outputs.values() for state in states.values())
    assert store.changed("data/runs/demo/dvc.yaml", "counting")
    shutil.rmtree(fake.folder() / "counting")
    code, out, err = fake.run()
    assert code == 0 and fake.outcomes(out)["counting"] == "Completed", err


@pytest.mark.parametrize("how", ("commit", "restore"))
def test_a_lock_names_only_what_is_on_the_disk(store, monkeypatch, how):
    """DVC syncs nothing: objects, outputs and then the lock are synced, so that a power cut takes none away."""
    folder = declare(store)
    make(folder, "one")
    if how == "restore":
        store.commit(FILE.format("x"), "a", print)
        folder = declare(store, "y")
    synced, sync = [], os.fsync

    def noted(descriptor):
        sync(descriptor)
        found = os.fstat(descriptor)
        synced.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fsync", noted)
    if how == "restore":
        assert store.restore(FILE.format("y"), "a", print)
    else:
        store.commit(FILE.format("x"), "a", print)
    objects = [p for p in (store.root / ".dvc" / "cache" / "files").rglob("*") if p.is_file()]
    for place in [*objects, folder / "a" / "f.txt", folder / "a.cost.json", folder / "dvc.lock"]:
        found = place.stat()
        assert (found.st_ino, found.st_size) in synced, place
    lock = (folder / "dvc.lock").stat()
    assert synced[-2] == (lock.st_ino, lock.st_size)  # then its folder
