"""Studio in Chromium, by clicks: from words to a GLB, from an image to a GLB, stop and resume, bad input, a phone."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image, ImageDraw

from flows.engine.project import init_project
from flows.studio.jobs import all_jobs
from tests.browser import CHROMIUM, chromium
from tests.flows.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
SHORT = {
    "quick": "view_fit.steps=30\\njoint_views.drawing.num_inference_steps=5\\nevaluation.video_frames=4",
    "latent-nerf": "coarse_nerf.steps=400\\nrgb_refinement.steps=4\\nevaluation.video_frames=4",
}
PAGE_S = 1.0  # on an idle machine; the tests share theirs
MINUTES = 600
# Runs in the page before its own scripts: notes when the methods and the prompt's field stand in a frame that is drawn.
NOTE_SEEN = """(() => { const shown = (name) => document.querySelector(name)?.getBoundingClientRect().height > 0;
  const look = () => requestAnimationFrame(() => { if (!shown('#methods label') || !shown('#field-prompt')) look();
    else requestAnimationFrame(() => { window.seenAt = performance.now(); }); }); look(); })()"""
RETURN = "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
STEP = """Number((document.querySelector('.stages .what + .soft')?.innerText ?? '').replaceAll(',', '')
  .match(/([0-9]+) of/)?.[1] ?? 0)"""


@contextlib.contextmanager
def studio(folder):
    """Studio of a fresh project, and its address."""
    project, _ = init_project(folder)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    line = [sys.executable, "-m", "flows.cli", "studio", "--no-browser"]
    process = subprocess.Popen(line, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield project, process.stdout.readline().split()[1]
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
        for job in all_jobs(project):  # they outlive studio
            left = job.process()
            if left is not None:
                left.terminate()
                left.wait(60)
        assert "Traceback" not in said, said


class Hand:
    """A person's hand on the page: it counts its clicks."""

    def __init__(self, browser):
        self.browser, self.clicks = browser, 0

    def open(self, url):
        began = time.monotonic()
        self.browser.call("Page.navigate", url=url)
        self.browser.wait("document.readyState === 'complete' && !!document.querySelector('#starts label')", 60)
        return time.monotonic() - began

    def click(self, selector, text=""):
        """Press the left button on an element, where it is seen."""
        wanted = f"[...document.querySelectorAll({selector!r})].find((e) => e.innerText.trim().startsWith({text!r}))"
        self.browser.wait(f"!!{wanted}", 60)
        self.browser.evaluate(f"{wanted}.scrollIntoView({{ block: 'center' }})")
        place, before = f"(() => {{ const r = {wanted}.getBoundingClientRect(); " + RETURN, None
        while (now := self.browser.evaluate(place)) != before:  # the page may be scrolling
            before = now
            time.sleep(0.3)
        x, y = now
        for kind in ("mousePressed", "mouseReleased"):
            self.browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.clicks += 1

    def write(self, field, text):
        self.browser.evaluate(f"(document.getElementById({field!r}).focus(), 0)")
        self.browser.call("Input.insertText", text=text)

    def drop(self, field, *files):
        """Choose files in a field."""
        root = self.browser.call("DOM.getDocument")["root"]["nodeId"]
        node = self.browser.call("DOM.querySelector", nodeId=root, selector=f"#{field}")["nodeId"]
        self.browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(f) for f in files])

    def set(self, lines):
        """Write parameters into their field, which takes a person more clicks and is not what is counted."""
        self.browser.evaluate(
            f"(() => {{ const f = document.getElementById('option-set'); f.value = '{lines}'; "
            "f.dispatchEvent(new Event('input')); })()"
        )

    def problem(self, field):
        """What stands beside a field."""
        found = f"document.querySelector('[data-problem=\"{field}\"]').innerText"
        self.browser.wait(f"{found} !== ''", 60)
        assert len(self.browser.evaluate(found).splitlines()) == 1
        return self.browser.evaluate(found)

    def says(self, text, seconds=MINUTES):
        self.browser.wait(f"(document.getElementById('about')?.innerText ?? '').includes({text!r})", seconds)

    def drawn(self):
        """The share of the viewer's pixels that the mesh covers."""
        return self.browser.covered(1, MINUTES)[0]


def downloaded(browser, url):
    """The GLB behind the button, as the browser's own request."""
    href = browser.evaluate("document.querySelector('a[download]').getAttribute('href')")
    cookies = browser.call("Network.getCookies")["cookies"]
    asked = urllib.request.Request(url.partition("/?")[0] + href, headers={
        "Cookie": "; ".join(f"{c['name']}={c['value']}" for c in cookies)})  # fmt: skip
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as answer:
        return answer.read()


def cactus(file):
    """An image of something green on white, with alpha."""
    image = Image.new("RGBA", (160, 160))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((60, 20, 100, 150), 20, (40, 140, 60, 255))
    draw.rounded_rectangle((30, 60, 50, 100), 10, (40, 140, 60, 255))
    draw.rectangle((45, 85, 70, 100), (40, 140, 60, 255))
    image.save(file)
    return file


def test_from_words_to_a_glb(tmp_path):
    with studio(tmp_path / "project") as (project, url), chromium() as browser:
        browser.look(1280, 900)
        hand = Hand(browser)
        hand.open(url)
        assert "token" not in browser.evaluate("location.href")
        hand.set(SHORT["quick"])
        hand.write("field-prompt", "a red mushroom with white dots")
        browser.wait("(document.getElementById('plan')?.innerText ?? '').includes('5 of 5 stages')", 60)
        hand.click("#start")
        assert hand.clicks <= 3
        hand.says("joint views", 60)
        hand.says("Download GLB")
        assert 0.02 < hand.drawn() < 0.9
        content = downloaded(browser, url)
        assert content[:4] == b"glTF" and b"a red mushroom with white dots" in content  # it says where it came from
        assert (project.runs / "a-red-mushroom-with-white-dots" / "texture_baking" / "mesh.glb").is_file()
        browser.call("Page.reload")
        hand.says("Download GLB", 60)  # the address says what is shown
        assert browser.errors == [] and all(place.startswith(url.partition("/?")[0]) for place in browser.fetched)


def test_from_an_image_to_a_glb_and_bad_files_before(tmp_path):
    text, big = tmp_path / "notes.png", tmp_path / "big.png"
    text.write_text("this is no image")
    with big.open("wb") as stream:
        stream.truncate(200_000_000)
    hostile = cactus(tmp_path / "<img src=x onerror=alert(1)>.png")
    with studio(tmp_path / "project") as (_, url), chromium() as browser:
        browser.look(1280, 900)
        hand = Hand(browser)
        hand.open(url)
        hand.click("#start")
        assert hand.problem("prompt").startswith("say this in words")  # no sentence
        hand.click("#starts label", "Image")
        hand.click("#start")
        assert hand.problem("image").startswith("add this file: an image of the object")
        hand.set(SHORT["quick"])
        hand.drop("field-image", text)
        assert hand.problem("image").startswith("this file: cannot be read as an image")
        hand.drop("field-image", big)
        browser.until(lambda: "200 MB" in hand.problem("image"), 60)
        hand.drop("field-image", hostile)
        browser.wait("document.querySelector('.dropped .name')?.innerText.includes('onerror')", 60)
        assert browser.evaluate("document.querySelectorAll('.dropped img').length") == 1
        browser.wait("document.querySelector('.dropped img').naturalWidth === 160", 60)
        assert browser.evaluate("document.getElementById('option-set').value").startswith("view_fit")  # nothing lost
        browser.call("Page.reload")
        browser.wait("document.querySelector('.dropped .name')?.innerText.includes('onerror')", 60)
        hand.click("#start")
        hand.says("Download GLB")
        assert hand.drawn() > 0.02 and browser.evaluate("location.hash").startswith("#job")
        assert [e for e in browser.errors if "409" not in e and "422" not in e] == []


def test_stopped_and_resumed_on_a_phone_beside_a_second_tab(tmp_path):
    with studio(tmp_path / "project") as (project, url), chromium() as browser:
        browser.look(390, 844, phone=True)
        hand = Hand(browser)
        hand.open(url)
        hand.click("#methods label", "latent-nerf")
        hand.set(SHORT["latent-nerf"])
        hand.write("field-prompt", "a blue mug")
        hand.click("#start")
        browser.wait("document.querySelector('.live .field')?.hidden === false", MINUTES)  # the live field
        before = browser.evaluate("document.querySelector('.live .field').src")
        browser.evaluate("(document.querySelector('.live .field').focus(), 0)")
        browser.press("ArrowRight")
        browser.wait(f"document.querySelector('.live .field').src !== {before!r}", 60)
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        hand.click(".actions button", "Stop")
        hand.says("stopped at ", 60)
        reached = browser.evaluate(STEP)
        with chromium() as other:  # a second tab sees it, and resumes it
            second = Hand(other)
            second.open(url)
            second.click("#queue .card")
            second.click(".actions button", "Resume")
            second.says("Stop", 120)
        hand.says("Stop", 120)
        browser.wait(f"{STEP} > 0", MINUTES)
        assert browser.evaluate(STEP) >= reached > 0
        hand.click(".actions button", "Stop")
        hand.says("stopped", 60)
        browser.screenshot(tmp_path / "phone.png")
        seen = np.asarray(Image.open(tmp_path / "phone.png").convert("L"), dtype=float)
        assert seen.shape[1] == 390 and seen.std() > 5
        assert (project.runs / "a-blue-mug" / ".work" / "coarse_nerf").is_dir() and browser.errors == []


def seen_after(browser, url):
    """Seconds from the start of a navigation to the first frame that shows the methods and the prompt's field."""
    browser.call("Page.navigate", url="about:blank")
    browser.wait("location.href === 'about:blank'", 60)
    browser.call("Page.navigate", url=url)
    browser.wait("window.seenAt > 0", 60)
    return browser.evaluate("seenAt") / 1000


def test_the_page_is_there_at_once(tmp_path):
    with studio(tmp_path / "project") as (_, url), chromium() as browser:
        hand = Hand(browser)
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=NOTE_SEEN)
        first = seen_after(browser, url)
        hand.open(url.partition("?")[0])
        refused = url.partition("?")[0] + "?token=wrong"
        with chromium() as stranger:
            stranger.call("Page.navigate", url=refused)
            stranger.wait("document.body?.innerText.includes('prior3d studio')", 60)
        seconds = max(first, min(seen_after(browser, url.partition("?")[0]) for _ in range(3)))
        if seconds > PAGE_S and os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
            pytest.skip(f"{seconds:.1f} s, on a machine with {os.getloadavg()[0]:.0f} processes that want its cores")
        assert seconds < PAGE_S
