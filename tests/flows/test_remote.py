"""Results through a remote: another clone takes them instead of computing."""

import os
import shutil

import pytest


@pytest.fixture
def clone(fake, tmp_path, monkeypatch):
    """A second project with the first one's runs as git would bring them: without outputs and cache."""
    from flows.engine.project import init_project

    def of(*names):
        place = tmp_path / "clone"
        init_project(place)
        shutil.copy(fake.project / ".dvc" / "config", place / ".dvc" / "config")
        for name in names:
            ignored = shutil.ignore_patterns("counting", "shouting", "joining", "losses", "*.cost.json", ".work")
            shutil.copytree(fake.folder(name), place / "data" / "runs" / name, ignore=ignored)
        fake.project = place
        os.chdir(place)
        return place

    return of


def test_another_machine_takes_results_instead_of_computing(fake, clone, tmp_path):
    fake.run()
    fake.run("--set", "counting.steps=5")
    first = fake.text("joining")
    assert fake.cli("remote")[0] == 2 and "this project has no remote" in fake.cli("push", "demo")[2]
    code, out, err = fake.cli("remote", "add", str(tmp_path / "shared"))
    assert (code, err) == (0, "") and str(tmp_path / "shared") in fake.cli("remote")[1]
    code, out, err = fake.cli("push", "demo")
    assert (code, err) == (0, "") and "files are new in the remote, which has 6 results" in out
    assert fake.cli("push", "demo")[1].startswith("demo: 0 files are new in the remote")
    clone("demo")
    code, out, err = fake.cli("pull", "demo")
    assert (code, err) == (0, ""), err
    assert fake.text("joining") == first and fake.cli("plan", "demo")[1].count("unchanged") == 3
    assert fake.cli("restore", "demo@1")[0] == 0  # older versions came too
    out = fake.run("--set", "counting.steps=5", name="elsewhere")[1]
    assert set(fake.outcomes(out).values()) == {"Restored"}  # by another name, from the cache of results
    assert fake.cli("verify", "--all")[1].splitlines()[-1] == "all is whole"


def test_what_is_wrong_with_a_remote_is_one_line(fake, clone, tmp_path):
    fake.run()
    (tmp_path / "file").touch()
    for words, expected in (
        (("remote", "add"), "write prior3d remote add FOLDER"),
        (("remote", "ad", "x"), "write prior3d remote add FOLDER"),
        (("remote", "add", "s3://bucket"), "only folders yet"),
        (("remote", "add", str(tmp_path / "file")), "it is a file"),
        (("push", "dmo"), "did you mean 'demo'?"),
    ):
        code, _, err = fake.cli(*words)
        assert code == 2 and expected in err and len(err.splitlines()) == 1, err
    fake.cli("remote", "add", str(tmp_path / "shared"))
    clone("demo")
    code, _, err = fake.cli("pull", "demo")
    assert code == 2 and "are not in the remote" in err and len(err.splitlines()) == 1, err
    shutil.rmtree(tmp_path / "shared")
    code, _, err = fake.cli("pull", "demo")
    assert code == 2 and "is not there; connect it" in err and len(err.splitlines()) == 1, err
