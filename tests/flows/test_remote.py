"""Results through a remote: another clone takes them instead of computing."""

import os
import shutil
import threading
import time

import pytest

from prior3d.errors import Prior3dError


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


def test_what_is_wrong_with_a_remote_is_one_line(fake, clone, tmp_path, monkeypatch):
    fake.run()
    (tmp_path / "file").touch()
    for words, expected in (
        (("remote", "add"), "write prior3d remote add FOLDER"),
        (("remote", "ad", "x"), "write prior3d remote add FOLDER"),
        (("remote", "add", "gs://bucket"), "give a folder, or s3://BUCKET/FOLDER"),
        (("remote", "add", "s3://"), "give a folder, or s3://BUCKET/FOLDER"),
        (("remote", "add", "x", "--endpoint", "http://x"), "only s3:// has an endpoint"),
        (("remote", "add", str(tmp_path / "file")), "it is a file"),
        (("push", "dmo"), "did you mean 'demo'?"),
    ):
        code, _, err = fake.cli(*words)
        assert code == 2 and expected in err and len(err.splitlines()) == 1, err
    monkeypatch.setattr("flows.commands.remote.find_spec", lambda _: None)
    code, _, err = fake.cli("remote", "add", "s3://bucket/x")
    assert code == 2 and "pip install 'prior3d[s3]'" in err
    fake.cli("remote", "add", str(tmp_path / "shared"))
    clone("demo")
    code, _, err = fake.cli("pull", "demo")
    assert code == 2 and "are not in the remote" in err and len(err.splitlines()) == 1, err
    shutil.rmtree(tmp_path / "shared")
    code, _, err = fake.cli("pull", "demo")
    assert code == 2 and "is not there; connect it" in err and len(err.splitlines()) == 1, err


def shared_results(tmp_path):
    return sorted(p.name for p in (tmp_path / "shared" / "runs").glob("*/*/*"))


def test_stages_are_shared_as_they_are_made(fake, clone, tmp_path):
    fake.cli("remote", "add", str(tmp_path / "shared"))
    code, out, err = fake.run("--stop-after", "counting")
    assert (code, err) == (0, "") and len(shared_results(tmp_path)) == 1
    first = fake.run()[1]
    assert fake.outcomes(first)["joining"] == "Completed" and len(shared_results(tmp_path)) == 3
    assert not list((tmp_path / "shared" / "prior3d-claims").glob("*"))
    text = fake.text("joining")
    clone()  # another machine, which has no run
    code, out, err = fake.run(name="other")
    assert (code, err) == (0, "") and set(fake.outcomes(out).values()) == {"Restored"}
    assert fake.text("joining", "other") == text
    out = fake.run("--set", "counting.steps=5", "--no-remote", name="alone")[1]
    assert fake.outcomes(out)["counting"] == "Completed" and len(shared_results(tmp_path)) == 3
    shutil.rmtree(fake.project / ".dvc" / "cache")
    shutil.rmtree(tmp_path / "shared" / "runs")
    fake.run(name="other", prompt="another")
    assert len(shared_results(tmp_path)) == 3  # what was computed, and what the cache had


def test_a_result_from_the_cache_is_shared_too(fake, tmp_path):
    fake.run()
    fake.cli("remote", "add", str(tmp_path / "shared"))
    code, out, err = fake.run(name="again")
    assert (code, err) == (0, "") and set(fake.outcomes(out).values()) == {"Restored"}
    assert len(shared_results(tmp_path)) == 3


def test_a_remote_that_is_down_costs_a_line(fake, clone, tmp_path):
    fake.cli("remote", "add", str(tmp_path / "shared"))
    shutil.rmtree(tmp_path / "shared")
    code, out, err = fake.run()
    assert code == 0 and set(fake.outcomes(out).values()) == {"Completed"}
    assert len(err.splitlines()) == 1 and "the remote does not work (the remote " in err, err
    assert "so counting, shouting, joining were not shared; when it does: prior3d push demo" in err
    (tmp_path / "shared").mkdir()
    assert fake.cli("push", "demo")[0] == 0 and len(shared_results(tmp_path)) == 3
    (tmp_path / "shared" / "files").rename(tmp_path / "files")
    clone()
    code, out, err = fake.run(name="other")  # the list of results is there, their files are not
    assert code == 0 and set(fake.outcomes(out).values()) == {"Completed"}
    assert any((tmp_path / "shared" / "files").rglob("*"))  # and are there again


def test_damaged_files_of_a_remote_are_not_taken(fake, clone, tmp_path):
    fake.cli("remote", "add", str(tmp_path / "shared"))
    fake.run()
    for place in [*(tmp_path / "shared" / "files").rglob("*"), *(tmp_path / "shared" / "runs").rglob("*")]:
        if place.is_file():
            place.chmod(0o644)
            place.write_bytes(place.read_bytes()[:-1] + b"!")
    clone()
    code, out, _ = fake.run(name="other")
    assert code == 0 and set(fake.outcomes(out).values()) == {"Completed"}


class Claims:
    """A sharing whose remote is a folder, and whose store has nothing."""

    def __init__(self, folder):
        from fsspec.implementations.local import LocalFileSystem

        from flows.engine.remote_files import RemoteFiles

        self.files_of = RemoteFiles(LocalFileSystem(), str(folder), True)

    def exists(self):
        return True

    def files(self):
        return self.files_of


def test_two_machines_take_turns(tmp_path, monkeypatch):
    from flows.engine import sharing

    monkeypatch.setattr(sharing, "POLL_S", 0.02)
    one, two = (sharing.Sharing(Claims(tmp_path), True, lambda: False) for _ in range(2))
    order, waited = [], threading.Event()

    def other():
        with two.turn("ab" * 20, waited.set, lambda: "made" in order) as is_there:
            order.append(f"two found it: {is_there}")

    with one.turn("ab" * 20, lambda: order.append("one waits"), lambda: False) as is_there:
        assert not is_there
        second = threading.Thread(target=other)
        second.start()
        assert waited.wait(10) and order == []
        order.append("made")
    second.join(10)
    assert order == ["made", "two found it: True"] and (one.close(), two.close()) == ("", "")
    assert not list((tmp_path / "prior3d-claims").iterdir())


def test_the_claim_of_a_machine_that_died_is_void(tmp_path, monkeypatch):
    from flows.engine import sharing
    from flows.engine.execution import Interrupted

    monkeypatch.setattr(sharing, "POLL_S", 0.02)
    monkeypatch.setattr(sharing, "VOID_S", 0.3)
    files = Claims(tmp_path).files()
    assert files.claim("key") and not files.claim("key")
    one = sharing.Sharing(Claims(tmp_path), True, lambda: False)
    with one.turn("key", lambda: None, lambda: False) as is_there:
        assert not is_there and files.claimed("key")
    assert one.close() == "" and not files.claimed("key")
    token = files.claim("key")
    stopped = sharing.Sharing(Claims(tmp_path), True, lambda: True)
    with pytest.raises(Interrupted), stopped.turn("key", lambda: None, lambda: False):
        pass
    assert files.renew("key", token) != token


class Sends(Claims):
    """As `Claims`; sending takes a while."""

    seconds = 0.2

    def send_objects(self, dvc_file, stage):
        time.sleep(self.seconds)
        return stage, b"entry"


def test_a_run_that_is_stopped_sends_what_it_has_finished(tmp_path):
    from flows.engine import sharing

    stopped = []
    one = sharing.Sharing(Sends(tmp_path), True, lambda: bool(stopped))
    for stage in ("first", "second"):
        with one.turn(stage, lambda: None, lambda: False):
            one.put("dvc.yaml", stage, stage)
    stopped.append(True)
    files = Claims(tmp_path).files()
    assert one.close() == "" and files.results("first") == ["first"] and files.results("second") == ["second"]
    assert not files.claimed("first") and not files.claimed("second")


def test_a_run_that_is_stopped_sends_for_a_while_only(tmp_path, monkeypatch):
    from flows.engine import sharing

    monkeypatch.setattr(sharing, "STOP_S", 0.3)
    monkeypatch.setattr(Sends, "seconds", 60.0)
    stopped, began = [], time.monotonic()
    one = sharing.Sharing(Sends(tmp_path), True, lambda: bool(stopped))
    for stage in ("first", "second"):
        with one.turn(stage, lambda: None, lambda: False):
            one.put("dvc.yaml", stage, stage)
    stopped.append(True)
    said = "the run was stopped, and sending took longer than 0.3 s, so first, second were not shared"
    files = Claims(tmp_path).files()
    assert one.close() == said and time.monotonic() - began < 20
    assert not files.claimed("first") and not files.claimed("second")


def test_a_claim_is_renewed_while_its_holder_lives(tmp_path, monkeypatch):
    from flows.engine import sharing

    monkeypatch.setattr(sharing, "RENEW_S", 0.02)
    one = sharing.Sharing(Claims(tmp_path), True, lambda: False)
    with one.turn("key", lambda: None, lambda: False):
        files = Claims(tmp_path).files()
        seen = set()
        until = time.monotonic() + 10
        while len(seen) < 3 and time.monotonic() < until:
            seen.add(files.claimed("key"))
        assert len(seen) == 3
    one.close()
    time.sleep(0.1)
    assert not files.claimed("key")


def test_a_remote_that_does_not_answer_is_left_alone():
    from flows.engine.sharing import within

    with pytest.raises(Prior3dError, match=r"does not answer within 0\.05 s"):
        within(0.05, lambda: time.sleep(5))
    with pytest.raises(OSError, match="broken"):
        within(5, lambda: (_ for _ in ()).throw(OSError("broken")))
