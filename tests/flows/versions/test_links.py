"""Links and images of pages: each link leads somewhere, each image says what is seen."""

import html
import os
import re

import pytest

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
