"""Where a file came from: told by the file alone, and by the project that it was made in."""

import hashlib
import json
import shutil
import time

import pytest

from flows.provenance.statement import SOURCE_TYPES, read_statement

GLB = "picturing/mesh.glb"


@pytest.fixture
def exported(boxes, tmp_path):
    """Two versions of a run, the first exported to a folder outside the project."""
    boxes.make("one", "a red box", 200)
    boxes.make("one", "a red box", 90)
    code, _, err = boxes.cli("export", "one@1", "--to", str(tmp_path / "away"))
    assert code == 0, err
    return tmp_path / "away"


def test_an_exported_file_says_where_it_came_from(boxes, exported, monkeypatch):
    content, said = read_statement((exported / GLB).read_bytes())
    assert (said["run"], said["version"], said["method"], said["prompt"]) == ("one", 1, "boxes", "a red box")
    assert said["file"] == GLB and said["md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert list(said["stages"]) == ["counting", "picturing"] and len(said["stages"]["picturing"]["code"]) == 16
    assert said["inputs"]["prior"]["licence"] == "openrail" and len(said["inputs"]["prior"]["digest"]) == 32
    assert "numpy" in said["packages"] and said["digital_source_type"] == f"{SOURCE_TYPES}trainedAlgorithmicMedia"
    _, of_text = read_statement((exported / "counting" / "text.txt").read_bytes())
    _, of_image = read_statement((exported / "picturing" / "frames" / "mesh_000.png").read_bytes())
    assert of_text is None and of_image["file"] == "picturing/frames/mesh_000.png"
    monkeypatch.setattr("flows.commands.provenance.project_of", lambda *_: None)  # as on another machine
    code, out, err = boxes.cli("whence", str(exported / GLB))
    assert (code, err) == (0, "")
    for words in ("one, version 1", "boxes, toy", "a red box", "licence: openrail", "trainedAlgorithmicMedia (IPTC)"):
        assert words in out, words
    assert "its content is what it was when that was written" in out and "in this project" not in out


def test_exports_of_one_version_are_the_same_bytes_at_any_time(boxes, exported, tmp_path):
    boxes.cli("export", "one@1", "--to", str(tmp_path / "a.zip"))
    first = (tmp_path / "a.zip").read_bytes()
    time.sleep(2.1)  # a ZIP counts every second second
    (tmp_path / "a.zip").unlink()
    boxes.cli("export", "one@1", "--to", str(tmp_path / "a.zip"))
    assert (tmp_path / "a.zip").read_bytes() == first


def test_runs_of_one_key_share_the_cache_and_name_themselves(boxes, exported, tmp_path):
    """What a stage makes does not hold the run's name: the second run restores it, and its export says `two`."""
    out = boxes.make("two", "a red box", 200)
    assert boxes.outcomes(out) == {"counting": "Restored", "picturing": "Restored"}
    assert (boxes.folder("two") / GLB).read_bytes() == read_statement((exported / GLB).read_bytes())[0]
    boxes.cli("export", "two", "--to", str(tmp_path / "second"))
    content, said = read_statement((tmp_path / "second" / GLB).read_bytes())
    assert said["run"] == "two" and content == (boxes.folder("two") / GLB).read_bytes()


def test_a_project_knows_its_files_and_copies_of_them(boxes, exported, tmp_path):
    boxes.make("two", "a red box", 90)
    code, out, _ = boxes.cli("whence", str(boxes.folder("one") / GLB))
    assert code == 0 and "says" not in out and f"one@2  {GLB}" in out and "two@1" not in out
    shutil.copy(boxes.folder("one") / GLB, tmp_path / "copy.bin")
    code, out, _ = boxes.cli("whence", str(tmp_path / "copy.bin"))
    assert code == 0 and f"one@2  {GLB}" in out and f"two@1  {GLB}" in out
    made_from = out.partition("made from\n")[2].splitlines()
    heads = [line.split()[0] for line in made_from]
    assert heads == ["picturing", "counting", "inputs/prior.json", "inputs/prompt.txt"]
    assert "from inputs/prior.json, inputs/prompt.txt" in made_from[1] and "licence: openrail" in made_from[2]
    code, out, _ = boxes.cli("whence", str(exported / GLB), "--json")
    found = json.loads(out)
    assert found["unchanged"] and [h["version"] for h in found["holders"]] == ["one@1"]
    assert [s["stage"] for s in found["holders"][0]["chain"]] == ["picturing", "counting"]


def test_a_file_that_was_changed_says_so(boxes, exported):
    content = bytearray((exported / GLB).read_bytes())
    content[-1] ^= 1
    (exported / GLB).write_bytes(content)
    code, out, _ = boxes.cli("whence", str(exported / GLB))
    assert code == 0 and "its content was changed after that was written" in out and "does not hold this content" in out
    shutil.rmtree(boxes.folder("one"))
    assert "has no such run" in boxes.cli("whence", str(exported / GLB))[1]


def test_what_cannot_be_told_is_one_line(boxes, exported, tmp_path, monkeypatch):
    foreign = tmp_path / "foreign.png"
    foreign.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    edited = boxes.folder("one") / GLB
    edited.write_bytes(b"edited")
    for words, expected in (
        ([str(tmp_path / "none.glb")], "there is no such file"),
        ([str(tmp_path)], "is a folder; name one file in it"),
        ([str(foreign)], "carries no provenance, and no run of"),
        ([str(edited)], "is no file that a version of its run holds"),
        ([str(foreign), "--project", str(tmp_path)], "is in no prior3d project"),
    ):
        code, out, err = boxes.cli("whence", *words)
        assert (code, out) == (2, "") and expected in err and len(err.splitlines()) == 1, words
    monkeypatch.setattr("flows.commands.provenance.project_of", lambda *_: None)
    assert "this folder is in no project" in boxes.cli("whence", str(foreign))[2]
