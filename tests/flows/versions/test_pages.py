"""The pages: what is in them, and how they behave in a browser."""

import html
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

import prior3d
from flows.engine.method import Input, Method, Stage
from tests.browser import CHROMIUM, chromium

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
LARGEST_MB, LONGEST_S = 10, 2.0


@pytest.fixture
def boxes(fake, monkeypatch):
    """A project with three versions of boxes in two runs."""
    from flows import methods

    stages = (
        Stage("counting", {"prompt": "prompt", "prior": "prior"}, module="fake_stages.counting"),
        Stage("picturing", {"text": "counting"}, module="fake_stages.picturing"),
    )
    inputs = (Input("prompt", "text", "what"), Input("prior", "prior", "a prior", default="toy"))
    monkeypatch.setitem(methods.METHODS, "boxes", Method("boxes", "boxes", inputs, stages))

    def make(name, prompt, red):
        code, _, err = fake.cli("run", "boxes", "--prompt", prompt, "--name", name, "--prior", str(fake.prior),
                                "--preset", "toy", "--set", f"picturing.red={red}")  # fmt: skip
        assert code == 0, err

    fake.make = make
    make("one", "a <b>bold</b> box", 200)
    make("one", "a <b>bold</b> box", 90)
    return fake


def written(out):
    from pathlib import Path

    return Path(out.split("  (")[0])


def test_the_page_of_a_run_needs_nothing_else(boxes, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    code, out, err = boxes.cli("open", "one")
    page = written(out)
    text = page.read_text()
    assert (code, err) == (0, "") and opened == [page.as_uri()]
    assert page.stat().st_size < LARGEST_MB / 2 * 1e6
    assert not re.search(r'<(script|img|link|video)[^>]+(src|href)="(?!data:)', text)
    assert "default-src 'none'" in html.unescape(text)
    assert "a &lt;b&gt;bold&lt;/b&gt; box" in text and "<b>bold" not in text  # what people type is no HTML
    assert "model/gltf-binary" in text and "redness" in text and 'class="curve c0"' in text and 'class="node' in text


def test_a_comparison_says_what_differs(boxes):
    code, out, _ = boxes.cli("compare", "one@1", "one@2", "--to", str(boxes.project / "page.html"))
    text = (boxes.project / "page.html").read_text()
    assert code == 0 and out.startswith(str(boxes.project / "page.html"))
    assert "picturing: red" in text and "same to the byte" in text and '<b class="best">200</b>' in text
    assert text.count("data:model/gltf-binary") == 2


def test_a_page_can_be_made_of_what_is_left(boxes):
    """Images of collected versions are missing; the rest of the page is there."""
    boxes.make("two", "another box", 10)
    boxes.cli("gc", "--yes", "--keep", "1")
    code, out, err = boxes.cli("compare", "one@1", "two")
    assert (code, err) == (0, "")
    assert "no mesh" in written(out).read_text()


def test_wrong_ways_to_ask(boxes):
    def refused(said, *words):
        code, _, err = boxes.cli(*words)
        assert code == 2 and said in err and len(err.splitlines()) == 1, err

    refused("takes 2 to 6 runs or versions, found 1", "compare", "one")
    refused("takes 2 to 6 runs or versions, found 7", "compare", *["one"] * 7)
    refused("there is no run 'onn'", "open", "onn")
    refused("run one has no version 9; its versions: 1 to 2", "compare", "one@9", "one")
    refused("it is a folder; name a file in it", "open", "one", "--no-browser", "--to", str(boxes.project))
    (boxes.folder("one") / "history" / "0002.lock").write_text("[")
    for words in (("open", "one@2"), ("compare", "one@1", "one@2"), ("export", "one@2", "--to", "there")):
        refused("history/0002.lock is damaged: it is not a DVC lock", *words)


def test_the_gallery_leaves_damaged_runs_out(boxes):
    boxes.make("two", "another box", 10)
    (boxes.folder("two") / "dvc.lock").write_text("[")
    code, out, err = boxes.cli("gallery")
    assert code == 0 and err.startswith("warning: left out: run two:") and len(err.splitlines()) == 1
    text = written(out).read_text()
    assert text.count("<article") == 1 and "data:image/webp" in text
    assert "<p>a &lt;b&gt;bold&lt;/b&gt; box<br>" in text and "<b>" not in text


def test_a_template_lacks_no_value():
    from jinja2 import UndefinedError

    from flows.versions.render import render

    with pytest.raises(UndefinedError, match="'runs' is undefined"):
        render("gallery.html.j2", [], title="t", subtitle="s", data={})


@pytest.mark.slow
@needs_chromium
def test_the_comparison_in_a_browser(boxes, tmp_path):
    page = tmp_path / "page.html"
    boxes.cli("compare", "one@1", "one@2", "--to", str(page))
    with chromium() as browser:
        browser.look(1280, 900)
        assert min(browser.open(page) for _ in range(3)) < LONGEST_S and page.stat().st_size < LARGEST_MB * 1e6
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert all(0.05 < share < 0.9 for share in browser.covered(2))  # an object, and something round it
        check_slider(browser)
        check_synchronised(browser)
        check_keyboard(browser)
        browser.press("t")
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != background
        browser.press("t")
        browser.look(1280, 900, dark=True)
        browser.evaluate("delete document.documentElement.dataset.theme")
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != background
        browser.look(390, 844, phone=True)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert (browser.errors, browser.fetched) == ([], [])


def check_slider(browser):
    pictures = "[...document.querySelectorAll('img.turning')].map((i) => i.src)"
    first = browser.evaluate(pictures)
    for _ in range(9):
        browser.press("ArrowRight")
    assert browser.evaluate("document.getElementById('angle').textContent") == "90°"
    turned = browser.evaluate(pictures)
    assert len(first) == 2 and all(a != b for a, b in zip(first, turned, strict=True))


def check_keyboard(browser):
    """Everything that can be used can be reached with the tabulator; an image grows on Enter, and goes on Escape."""
    useful = "document.querySelectorAll('button, input, summary, model-viewer, img.large')"
    browser.evaluate(f"document.querySelector('.tools').scrollIntoView(); {useful}[0].focus()")
    assert browser.evaluate(f"[...{useful}].every((e) => e.tabIndex >= 0 || e.shadowRoot?.querySelector('[tabindex]'))")
    browser.evaluate("document.querySelector('img.large').focus()")
    browser.press("Enter")
    browser.wait("large.open && large.querySelector('img').src === document.querySelector('img.large').src", 30)
    browser.press("Escape")
    browser.wait("!large.open", 30)
    browser.evaluate("document.activeElement.blur()")
    browser.press(" ")
    assert browser.evaluate("document.getElementById('rotate').getAttribute('aria-pressed')") == "true"
    browser.press(" ")
    browser.press("0")
    browser.wait("[...document.querySelectorAll('model-viewer')].every((v) => !v.autoRotate)", 30)


def check_synchronised(browser):
    browser.evaluate("document.querySelector('model-viewer').scrollIntoView({block: 'center', behavior: 'instant'})")
    box = browser.evaluate("(({x, y, width, height}) => [x, y, width, height])"
                           "(document.querySelector('model-viewer').getBoundingClientRect())")  # fmt: skip
    centre = (box[0] + box[2] / 2, box[1] + box[3] / 2)
    orbits = "[...document.querySelectorAll('model-viewer')].map((v) => v.getCameraOrbit().theta)"
    before = browser.evaluate(orbits)
    browser.drag(centre, (centre[0] + box[2] / 4, centre[1]))
    browser.wait(f"Math.abs({orbits}[0] - {before[0]}) > 0.1", 120)
    browser.wait(f"{orbits}.every((t) => Math.abs(t - {orbits}[0]) < 0.02)", 120)


@pytest.mark.slow
@needs_chromium
def test_the_frame_of_a_notebook_shows_the_mesh(boxes, tmp_path):
    shown = prior3d.load("one", project=boxes.project).show()
    (tmp_path / "notebook.html").write_text(f"<html><body>{shown._repr_html_()}</body></html>")
    with chromium() as browser:
        browser.look(900, 600)
        browser.open(tmp_path / "notebook.html")
        browser.wait("document.querySelector('iframe').contentDocument.querySelector('model-viewer')?.loaded", 240)
        assert browser.errors == [] and browser.fetched == []


@pytest.mark.slow
@needs_chromium
def test_the_gallery_in_a_browser(boxes, tmp_path):
    boxes.make("two", "another box", 10)
    boxes.cli("gallery", "--to", str(tmp_path / "gallery.html"))
    names = "[...document.querySelectorAll('.gallery article:not([hidden]) h2')].map((h) => h.textContent)"
    with chromium() as browser:
        browser.look(1280, 900)
        assert browser.open(tmp_path / "gallery.html") < 10
        assert browser.evaluate(names) == ["two@1", "one@2"]  # newest first
        browser.evaluate("by.value = 'redness|down'; by.dispatchEvent(new Event('change'))")
        assert browser.evaluate(names) == ["one@2", "two@1"]
        browser.press("/")
        browser.call("Input.insertText", text="another")
        assert browser.evaluate(names) == ["two@1"]
        assert browser.evaluate("document.getElementById('count').textContent") == "1 of 2"
        assert (browser.errors, browser.fetched) == ([], [])


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)><!--<script>'


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def handle_starttag(self, tag, attrs):
        self.found[tag] += 1
        self.found.update(f"{tag} {name}" for name, _ in attrs)


def tags_of(page):
    tags = Tags()
    tags.feed(page.read_text())
    return {tag: n for tag, n in tags.found.items() if tag.startswith("script") or "onerror" in tag or "src" in tag}


def hostile(values):
    """The same record with HTML in each of its texts and names that pages show."""
    if isinstance(values, dict):
        return {k: hostile(v) for k, v in values.items()}
    return values if not isinstance(values, str) else values + HOSTILE


@pytest.mark.parametrize("words", [("open", "one", "--no-browser"), ("compare", "one@1", "one@2"), ("gallery",)])
def test_html_in_somebody_elses_files_is_text(boxes, words):
    page = boxes.project / "page.html"
    assert boxes.cli(*words, "--to", str(page))[0] == 0
    before = tags_of(page)
    for record in (boxes.folder("one") / "history").glob("*.json"):
        values = json.loads(record.read_text())
        shown = {k: hostile(values[k]) for k in ("method", "preset", "outcomes", "metrics", "device", "machine", "git")}
        values |= shown | {"packages": {HOSTILE: HOSTILE}, "reasons": {HOSTILE: [HOSTILE]}, "changes": [HOSTILE]}
        values["inputs"]["prompt"]["text"] = f"a <!--<script> {HOSTILE}"
        values["cost"] = {HOSTILE: {HOSTILE: 1.0}, **values["cost"]}
        record.write_text(json.dumps(values))
    method = boxes.folder("one") / "method.yaml"
    method.write_text(method.read_text().replace("a <b>bold</b> box", "a <!--<script>alert(3)</script>"))
    (boxes.project / ".prior3d" / "summaries.json").unlink(missing_ok=True)
    page.unlink()
    assert boxes.cli(*words, "--to", str(page))[0] == 0
    assert tags_of(page) == before
    text = page.read_text()
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert "<" not in data and json.loads(data)  # a `<!--<script>` in it would swallow the page's own scripts
    assert "&lt;script&gt;" in text
