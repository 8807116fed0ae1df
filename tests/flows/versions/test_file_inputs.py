"""Runs that are given images and folders instead of words: how they are called, shown and compared."""

import json

import pytest
from PIL import Image

from flows.engine.method import Input, Method, Stage


@pytest.fixture
def photos(fake, monkeypatch, tmp_path):
    """A project with a run of a photograph and a folder of views, without a prompt."""
    from flows import methods

    inputs = (
        Input("photograph", "file", "what", suffixes=(".png", ".jpg")),
        Input("views", "folder", "views of it", default=""),
    )
    stage = Stage("describing", {"photograph": "photograph", "views": "views"}, module="fake_stages.describing")
    monkeypatch.setitem(methods.METHODS, "photos", Method("photos", "photos", inputs, (stage,)))
    for number, red in enumerate((200, 10)):
        Image.new("RGB", (60, 40), (red, 0, 0)).save(tmp_path / f"mug {number}.png")
    for kind in ("images", "masks"):
        (tmp_path / "views" / kind).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / "views" / kind / f"{number:02d}.png")

    def make(name, number, *words):
        words = ("run", "photos", "--photograph", str(tmp_path / f"mug {number}.png"), "--name", name, *words)
        code, _, err = fake.cli(*words)
        assert code == 0, err

    fake.make, fake.views = make, tmp_path / "views"
    make("one", 0, "--views", str(fake.views))
    return fake


def test_files_keep_their_names(photos):
    record = json.loads((photos.folder("one") / "history" / "0001.json").read_text())
    assert record["inputs"]["photograph"] == {"file": "inputs/photograph.png", "given": "mug 0.png"}
    assert "mug 0.png, views" in photos.cli("ls")[1]
    assert "photograph: mug 0.png" in photos.cli("status", "one")[1]
    described = (photos.folder("one") / "method.yaml").read_text()
    assert photos.cli("accept", "one")[0] == 0  # which reads the copies
    assert (photos.folder("one") / "method.yaml").read_text() == described


def test_files_are_compared_by_content(photos):
    photos.make("two", 1)
    out = photos.cli("diff", "one", "two")[1]
    assert "input photograph: mug 0.png (" in out and "-> mug 1.png (" in out and "input views: views (" in out
    assert "-> (none)" in out
    Image.new("RGB", (60, 40), (77, 0, 0)).save(photos.views.parent / "mug 1.png")
    photos.make("two", 1)
    shown = json.loads(photos.cli("diff", "two@1", "two@2", "--json")[1])["inputs"]["photograph"]
    assert all(text.startswith("mug 1.png (") for text in shown.values())
    assert shown["old"] != shown["new"]  # of one name, and not the same
    assert photos.cli("compare", "two@1", "two@2")[0] == 0
    text = (photos.project / ".prior3d" / "pages" / "compare-two@1-two@2.html").read_text()
    assert "<td>input photograph</td>" in text and shown["old"] in text and shown["new"] in text


def test_the_page_shows_what_was_given(photos):
    assert photos.cli("open", "one", "--no-browser")[0] == 0
    text = (photos.project / ".prior3d" / "pages" / "run-one.html").read_text()
    assert "<h1>mug 0.png, views</h1>" in text and "<h2>Inputs</h2>" in text
    assert text.count('title="views/') == 7 and text.count('title="photograph/') == 1  # every third, and no mask
    assert photos.cli("restore", "one@1")[0] == 0
    photos.make("one", 1)
    photos.cli("open", "one@1", "--no-browser")  # its photograph was replaced, and is not passed off as the new one
    text = (photos.project / ".prior3d" / "pages" / "run-one@1.html").read_text()
    assert "<h2>Inputs</h2>" not in text and "mug 0.png" in text


def test_the_gallery_shows_what_was_given_where_nothing_else_can_be_seen(photos):
    code, _, err = photos.cli("gallery")
    text = (photos.project / ".prior3d" / "pages" / "gallery.html").read_text()
    assert (code, err) == (0, "") and text.count("data:image/webp") == 1 and "mug 0.png, views" in text


def test_summaries_are_kept_until_something_changes(photos, monkeypatch):
    from flows.engine.project import Project
    from flows.versions import summaries

    first = summaries.summaries(Project(photos.project))
    assert [(s.name, s.n_made, s.n_stages, s.n_versions, s.number) for s in first] == [("one", 1, 1, 1, 1)]
    with monkeypatch.context() as patched:
        patched.setattr(summaries, "summarise", None)  # cannot be called
        assert summaries.summaries(Project(photos.project)) == first
    photos.make("one", 0)
    assert summaries.summaries(Project(photos.project))[0].n_versions == 2
    (photos.project / ".prior3d" / "summaries.json").write_text("{")
    assert summaries.summaries(Project(photos.project))[0].n_versions == 2


def test_damaged_runs_are_left_out_of_the_list(photos):
    (photos.folder("one") / "dvc.lock").write_text("[")
    code, out, err = photos.cli("ls")
    assert code == 0 and err.startswith("warning: left out: run one:") and len(err.splitlines()) == 1
