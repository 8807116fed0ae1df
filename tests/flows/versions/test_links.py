"""Links and images of pages: each link leads somewhere, each image says what is seen."""

import html
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from flows.methods import METHODS
from flows.versions.comparison import Measure, measures
from flows.versions.images import thumbnail_source
from flows.versions.tables import _cells
from flows.versions.text import measure_text, measured_text
from tests.browser import chromium
from tests.flows.versions.test_pages import boxes, needs_chromium, written  # noqa: F401  (the fixture)


def test_a_card_leads_to_no_page_of_an_earlier_version(boxes):  # noqa: F811
    boxes.cli("open", "one", "--no-browser")
    (page,) = (boxes.project / ".prior3d" / "pages").glob("run-one.html")

    def led_to():
        return set(re.findall(r'href="(file:[^"]+)"', written(boxes.cli("gallery")[1]).read_text()))

    assert led_to() == {page.as_uri()}
    boxes.make("one", "a <b>bold</b> box", 10)
    os.utime(page, (1, 1))  # as old as it is where a run takes longer than here
    assert led_to() == {boxes.folder("one").as_uri()}
    boxes.cli("open", "one", "--no-browser")
    assert led_to() == {page.as_uri()}


def test_images_say_what_is_seen(boxes):  # noqa: F811
    boxes.cli("open", "one", "--no-browser", "--to", str(boxes.project / "page.html"))
    for page in (boxes.project / "page.html", written(boxes.cli("gallery")[1])):
        said = [html.unescape(alt) for alt in re.findall(r'<(?:img|model-viewer)[^>]* alt="([^"]+)"', page.read_text())]
        assert said and all("bold" in text for text in said)
        assert not any(re.search(r"\.(png|jpg|webp)\b", text) for text in said)


def around(n):
    return {f"evaluation/{name}": name for name in ("preview.png", *(f"frames/mesh_{i:03d}.png" for i in range(n)))}


@pytest.mark.parametrize(("n_around", "shown"), [(8, "frames/mesh_001.png"), (2, "preview.png"), (0, "preview.png")])
def test_a_thumbnail_shows_more_than_the_front(n_around, shown):
    files = {"joint_views": {"joint_views/preview.png": "drawn"}, "evaluation": around(n_around)}
    version = SimpleNamespace(lock=files, files=files.get, place=lambda _, path: path, inputs={})
    assert next(thumbnail_source(version)) == (shown, f"evaluation/{shown}")


def test_what_a_result_costs_is_not_called_better():
    def measured(name, *values):
        old, new = ({name: {"value": value, "higher_is_better": name == "mesh_psnr"}} for value in values)
        return [m.better for m in measures(old, new)]

    assert measured("mesh_psnr", 20.0, 22.0) == [True] and measured("depth_error", 0.1, 0.2) == [False]
    assert measured("charts", 21.0, 18.0) == measured("glb_size", 0.3723, 0.3714) == [None]


def test_yes_and_no_are_words_everywhere():
    entry = {"value": 1.0, "unit": "yes/no", "n": 1}
    assert measured_text("watertight", 1.0, "yes/no") == "yes"
    assert measure_text(Measure("watertight", 0.0, 1.0, "yes/no", True)) == "watertight: no -> yes (better)"
    assert [cell.text for cell in _cells("watertight", [entry, {**entry, "value": 0.0}, None])] == ["yes", "no", "-"]


def test_what_one_alone_has_is_folded(boxes, monkeypatch):  # noqa: F811
    monkeypatch.setitem(METHODS, "counts", replace(METHODS["boxes"], name="counts", stages=METHODS["boxes"].stages[:1]))
    words = ("--prompt", "a number", "--name", "two", "--prior", str(boxes.prior), "--preset", "toy")
    assert boxes.cli("run", "counts", *words)[0] == 0
    page = boxes.project / "page.html"
    assert boxes.cli("compare", "one", "two", "--to", str(page))[0] == 0
    shown, *folded = re.split(r"<details[^>]*><summary>", page.read_text())
    assert "drawn" in shown and "redness" not in shown and "alone has picturing." in shown
    assert sum("redness" in part.partition("</details>")[0] for part in folded if part.startswith("of stages")) == 1
    assert boxes.cli("open", "one", "--to", str(page), "--no-browser")[0] == 0
    assert "redness" in page.read_text().partition("<details")[0] and "alone has" not in page.read_text()


def test_a_page_takes_no_other_files_place(boxes):  # noqa: F811
    image = boxes.project / "teddy.png"
    image.write_bytes(b"an image of one's own")
    for words in (("open", "one", "--no-browser"), ("compare", "one@1", "one"), ("gallery",)):
        code, _, err = boxes.cli(*words, "--to", str(image))
        assert code == 2 and "let it end in .html" in err and image.read_bytes() == b"an image of one's own"


@pytest.mark.slow
@needs_chromium
def test_every_link_leads_somewhere(boxes, tmp_path):  # noqa: F811
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    boxes.make("two", "another box", 10)
    boxes.cli("open", "one", "--no-browser")
    boxes.cli("gallery", "--to", str(tmp_path / "gallery.html"))
    boxes.cli("open", "two", "--no-browser", "--to", str(tmp_path / "two.html"))
    with chromium() as browser:
        browser.look(1280, 900)
        cards = browser.follow(tmp_path / "gallery.html", downloads)
        assert len(cards) == 2 and any("bold" in text and "Measurements" in text for text in cards.values())
        assert any("dvc.lock" in text for text in cards.values())  # of a run without a page: its folder
        ((address, mesh),) = browser.follow(tmp_path / "two.html", downloads).items()
        assert address.endswith(".glb") and mesh[:4] == b"glTF"
        (tmp_path / "broken.html").write_text('<a href="file:///nowhere.html">x</a>')
        with pytest.raises(AssertionError, match="leads nowhere"):
            browser.follow(tmp_path / "broken.html", downloads)
        assert browser.errors == []
