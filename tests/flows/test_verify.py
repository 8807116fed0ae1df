"""`verify`: what is damaged is named and put back from its copy; what has no copy is left for a person."""

import json
import os
import random
import shutil
import subprocess

import pytest
import torch
from safetensors.torch import save

from flows.engine.project import Project
from flows.verification.verify import verify
from prior3d import checkpoints


@pytest.fixture
def whole(fake):
    """A project with two versions of a run, another run, and a checkpoint; all as it was made."""
    fake.run()
    fake.run("--set", "counting.steps=5")
    fake.run(name="other", prompt="three")
    work = fake.folder() / ".work" / "joining" / "0123"
    work.mkdir(parents=True)
    checkpoints.save(work / "checkpoint.safetensors", {"a": torch.ones(3)}, {"n_steps_done": 2})
    os.chdir(fake.project)
    return fake


def flip(path, place=None):
    """Change one byte; size and time stay, as on a disk that rots."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 4
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def commit(fake):
    for words in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm1"),
    ):
        subprocess.run(["git", "-C", str(fake.project), *words], check=True, capture_output=True)


def object_of(fake, path="counting/text.txt", version="demo"):
    from flows.versions.history import find_version

    found = find_version(Project(fake.project), version)
    return found.objects.path(found.files(path.partition("/")[0])[path])


def test_a_whole_project_is_whole(whole):
    code, out, err = whole.cli("verify", "--all")
    assert (code, err) == (0, "") and out.splitlines()[-1] == "all is whole", out
    for kind in ("artifacts", "objects", "locks", "records", "results", "1 checkpoint", "priors", "inputs"):
        assert kind in out
    assert whole.cli("verify", "demo")[1].splitlines()[-1] == "all is whole"
    assert not (whole.project / ".prior3d" / "damaged").exists()
    sums = whole.folder() / "history" / "SHA256SUMS"
    done = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", sums.name], cwd=sums.parent, check=False)
    assert done.returncode == 0 and len(sums.read_text().splitlines()) >= 4


def test_each_kind_is_found_and_put_back(whole):
    folder, before = whole.folder(), {}
    commit(whole)
    cache = whole.project / ".dvc" / "cache"
    damaged = {
        "artifact demo: shouting/text.txt": folder / "shouting" / "text.txt",
        "lock demo: dvc.lock": folder / "dvc.lock",
        "record demo: history/0002.json": folder / "history" / "0002.json",
        "lock demo: history/0001.lock": folder / "history" / "0001.lock",
        "checksum other": whole.folder("other") / "history" / "SHA256SUMS",
        "object": object_of(whole, "counting/text.txt", "other"),
        "result": sorted((cache / "runs").glob("*/*/*"))[0],
    }
    for path in damaged.values():
        before[path] = path.read_bytes()
        flip(path)
    code, out, _ = whole.cli("verify", "--all", "--look")
    assert code == 2 and "nothing was touched" in out and all(f"!! {what}" in out for what in damaged), out
    assert all(path.read_bytes() != content for path, content in before.items())
    code, out, err = whole.cli("verify", "--all")
    assert (code, err) == (0, "") and all(f"ok {what}" in out for what in damaged), out
    assert f"{len(damaged)} found, {len(damaged)} put right" in out
    assert {path: path.read_bytes() for path in before} == before
    aside = whole.project / ".prior3d" / "damaged"
    assert (aside / "data" / "runs" / "demo" / "shouting" / "text.txt").is_file() and str(aside) in out
    assert whole.cli("verify", "--all")[1].splitlines()[-1] == "all is whole"


def test_what_has_no_copy_is_left_for_a_person(whole):
    old, record = object_of(whole, version="demo@1"), whole.folder() / "history" / "0001.json"
    flip(old)
    flip(record)
    flip(next((whole.folder() / ".work").glob("*/*/*.safetensors")))
    flip(whole.prior / "unet" / "model.safetensors", -1)
    code, out, _ = whole.cli("verify", "demo")
    assert code == 2 and "4 found, 1 put right; 3 left for you" in out, out
    assert "(demo@1: counting/text.txt): it is damaged; no copy is whole, so it was set aside" in out
    assert "record demo: history/0001.json: it is damaged or was edited; no copy of it is whole" in out
    assert "it is damaged -> set aside: joining begins again" in out
    assert "unet/model.safetensors is not what it was when run demo used it; copy the prior again" in out
    assert not old.exists() and not list((whole.folder() / ".work").glob("*/*/*.safetensors"))


def test_files_that_are_gone_are_put_back(whole):
    text, before = whole.folder() / "joining" / "text.txt", (whole.folder() / "joining" / "text.txt").read_bytes()
    text.unlink()
    gone = object_of(whole, "shouting/text.txt")
    listing = next(p for p in gone.parents[1].glob("*/*.dir") if gone.name[2:] in p.read_text())
    gone.unlink()
    listing.unlink()
    code, out, _ = whole.cli("verify", "--all")
    assert code == 0 and text.read_bytes() == before and gone.is_file() and listing.is_file(), out
    assert "made again from the run's folder" in out and "it is missing" in out


def test_a_lock_that_is_no_version_is_asked_of_the_cache(whole):
    """A run that was broken off has a lock that no version has; it is whole if DVC's cache of results knows it."""
    (whole.folder() / "history" / "0002.lock").unlink()
    (whole.folder() / "history" / "0002.json").unlink()
    assert whole.cli("verify", "demo")[1].splitlines()[-1] == "all is whole"
    lock = whole.folder() / "dvc.lock"
    lock.write_text(lock.read_text().replace("steps: 5", "steps: 6"))
    code, out, _ = whole.cli("verify", "demo")
    assert code == 2 and "counting: known to no version and not to DVC's cache of results; damaged or edited" in out


def test_versions_from_before_digests_are_noted_as_they_are(whole):
    sums = whole.folder() / "history" / "SHA256SUMS"
    before = sums.read_text()
    sums.unlink()
    code, out, _ = whole.cli("verify", "demo")
    assert code == 0 and "files of its history had no digest; noted as they are" in out and sums.read_text() == before
    (whole.folder() / "history" / "0001.lock").write_text("no lock\n")
    sums.unlink()
    code, out, _ = whole.cli("verify", "demo")
    assert code == 2 and "!! lock demo: history/0001.lock: it is damaged" in out


def test_wrong_commands_are_one_line(whole):
    for words, expected in (
        ((), "name a run, or give --all"),
        (("demo", "--all"), "name a run, or give --all"),
        (("dmo",), "did you mean 'demo'?"),
    ):
        code, _, err = whole.cli("verify", *words)
        assert code == 2 and expected in err and len(err.splitlines()) == 1
    from flows.engine.run import Run

    with Run(Project(whole.project), "demo").held():
        assert "another prior3d process works on it" in whole.cli("verify", "demo")[2]
        code, out, _ = whole.cli("verify", "--all")
        assert code == 0 and "left out: run demo: another prior3d process works on it" in out


def test_flipped_bytes_are_found(whole):
    """A short form of benchmarks/flipped_bytes.py: every kind of file, drawn bytes."""
    commit(whole)
    chance, project = random.Random(7), Project(whole.project)
    cache, runs = whole.project / ".dvc" / "cache", whole.project / "data" / "runs"
    kinds = [
        [p for p in runs.glob("*/*ing/*") if p.is_file()],
        sorted((cache / "files" / "md5").glob("*/*")),
        sorted([*runs.glob("*/dvc.lock"), *runs.glob("*/history/*.lock")]),
        sorted([*runs.glob("*/history/*.json"), *runs.glob("*/history/SHA256SUMS")]),
        sorted((cache / "runs").glob("*/*/*")),
        [p for p in whole.prior.rglob("*.safetensors")],
        sorted(runs.glob("*/.work/*/*/*.safetensors")),
    ]
    missed = []
    for number in range(42):
        path = chance.choice(kinds[number % len(kinds)])
        content = path.read_bytes()
        flip(path, chance.randrange(len(content)))
        if not verify(project, [], heals=False).findings:
            missed.append(path)
        path.write_bytes(content)
    assert missed == [] and verify(project, [], heals=False).findings == []


def test_an_embedded_prior_is_put_back_from_git(whole, monkeypatch):
    folder = whole.project / "data" / "priors" / "small"
    shutil.copytree(whole.prior, folder)
    commit(whole)
    monkeypatch.setattr("flows.verification.priors.embedded_folders", lambda: (folder.parent, folder / "none"))
    weights = folder / "vae" / "model.safetensors"
    before = weights.read_bytes()
    flip(weights)
    (folder / "model_index.json").unlink()
    code, out, _ = whole.cli("verify", "--all")
    assert code == 0 and weights.read_bytes() == before and (folder / "model_index.json").is_file()
    assert "vae/model.safetensors is damaged or was edited -> put back from git" in out
    assert "model_index.json is missing -> put back from git" in out


def test_a_prior_that_was_trained_again_is_left_alone(whole, monkeypatch):
    """Its files differ from git's, and are what the project's `dvc.lock` says."""
    folder = whole.project / "data" / "priors" / "small"
    shutil.copytree(whole.prior, folder)
    commit(whole)
    place = folder / "vae" / "model.safetensors"
    place.write_bytes(save({"w": torch.ones(4)}))
    import hashlib

    md5 = hashlib.md5(place.read_bytes(), usedforsecurity=False).hexdigest()
    out = {"path": "data/priors/small/vae/model.safetensors", "md5": md5}
    (whole.project / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"vae": {"outs": [out]}}}))
    monkeypatch.setattr("flows.verification.priors.embedded_folders", lambda: (folder.parent, folder / "none"))
    monkeypatch.setattr("flows.verification.priors.PACKAGE_PARENT", whole.project)
    assert verify(Project(whole.project), []).findings == []
    flip(place)
    assert [f.healed for f in verify(Project(whole.project), []).findings] == [True]
    (whole.project / "dvc.lock").write_text("no lock")
    place.write_bytes(b"other")
    found = verify(Project(whole.project), []).findings
    assert [f.healed for f in found] == [False] and "dvc.lock is damaged" in found[0].text()
