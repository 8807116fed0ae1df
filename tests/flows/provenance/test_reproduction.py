"""A file made again from its inputs: same bytes, or what differs; and what cannot be made again."""

import shutil

import pytest
from fake_priors import write_prior

GLB = "picturing/mesh.glb"


@pytest.fixture
def made(boxes, tmp_path):
    boxes.make("one", "a red box", 200)
    assert boxes.cli("export", "one", "--to", str(tmp_path / "away"))[0] == 0
    boxes.make("one", "a red box", 90)
    return boxes, tmp_path / "away"


def scratch(fake):
    return sorted((fake.project / ".prior3d" / "reproduced").glob("*"))


def test_a_file_is_made_again_with_the_same_bytes(made):
    fake, away = made
    before = (fake.folder("one") / GLB).read_bytes()
    for file in (fake.folder("one") / GLB, away / GLB, away / "picturing" / "preview.png"):
        code, out, err = fake.cli("reproduce", str(file))
        assert (code, err) == (0, ""), err
        assert ": the same bytes" in out and "picturing: 7 of 7 files the same to the byte" in out
        assert "counting    done" in out or "counting   done" in out or "counting done" in out.replace("  ", " "), out
    assert "preview.png of one@1" in out
    assert scratch(fake) == [] and (fake.folder("one") / GLB).read_bytes() == before


def test_other_code_makes_other_bytes_and_they_are_kept(made):
    fake, away = made
    fake.edit("picturing/stage.py", "40, 40, 255", "41, 40, 255")
    code, out, _ = fake.cli("reproduce", str(away / GLB))
    assert code == 1 and ": other bytes" in out and "counting: 2 of 2 files the same to the byte\n" in out
    assert "picturing: 6 of 7 files the same to the byte; its code has changed since" in out
    kept = scratch(fake)[0] / "data" / "runs" / "one"
    assert f"what was made now is in {kept}" in out and (kept / GLB).is_file()


def test_a_stage_that_fails_can_be_resumed(made, monkeypatch):
    fake, away = made
    fake.edit("picturing/stage.py", "    import trimesh", "    import trimesj")
    code, _, err = fake.cli("reproduce", str(away / GLB))
    assert code == 2 and "stage picturing failed" in err
    fake.edit("picturing/stage.py", "    import trimesj", "    import trimesh")
    code, out, _ = fake.cli("reproduce", str(away / GLB))
    assert code == 0 and fake.outcomes(out) == {"counting": "Cached", "picturing": "Completed"}


def test_what_cannot_be_made_again_is_one_line(made, tmp_path, monkeypatch):
    fake, away = made

    def refused(file, expected):
        code, _, err = fake.cli("reproduce", str(file))
        assert code == 2 and expected in err and len(err.splitlines()) == 1, err

    changed = tmp_path / "changed.glb"
    changed.write_bytes((away / GLB).read_bytes() + b"\0")
    refused(changed, "was changed after it left its project")
    refused(tmp_path / "away" / "index.html", "carries no provenance")
    refused(fake.folder("one") / "inputs" / "prompt.txt", "is an input, inputs/prompt.txt of one@2")
    shutil.rmtree(fake.prior)
    write_prior(fake.prior, fill=1)
    refused(away / GLB, "was made with prior a_prior")
    shutil.rmtree(fake.folder("one"))
    refused(away / GLB, "its run one is gone")
    monkeypatch.setattr("flows.commands.reproduce.project_of", lambda *_: None)
    refused(away / GLB, "give --project DIR, a project with the run one")
    assert scratch(fake) == []
