"""The HTTP door of studio: who gets in, what is said about bad input, and what a form makes."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from flows.methods import METHODS
from flows.studio.catalogue import STARTS, starts_of, without_dashes
from flows.studio.jobs import all_jobs
from flows.studio.server import make_app
from flows.watching.guard import COOKIE

TOKEN, PORT = "a-secret", 8180


class Browser:
    """A browser that was given the address, or a stranger's."""

    def __init__(self, queue, cookie=True, host=f"127.0.0.1:{PORT}", **headers):
        known = {"Cookie": f"{COOKIE}-{PORT}={TOKEN}"} if cookie else {}
        self.client = TestClient(
            make_app(queue.project, queue, TOKEN), base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False,
            headers=known | {"Host": host} | headers,
        )  # fmt: skip

    def __call__(self, method, path, **more):
        return self.client.request(method, path, **more)

    def form(self, path="/api/jobs", **values):
        answer = self("POST", path, content=json.dumps(values))
        return answer.status_code, answer.json()


@pytest.fixture
def browser(queue):
    return Browser(queue)


def png(size=(8, 8)):
    stream = io.BytesIO()
    Image.fromarray(np.full((*size, 3), 200, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def count(fake, **more):
    """A form of the fake method."""
    return {"method": "counting-method", "preset": "toy", **more,
            "inputs": {"prompt": "one two", "prior": str(fake.prior), **more.get("inputs", {})}}  # fmt: skip


PLACES = ["/", "/api/jobs", "/api/runs", "/static/studio.js", "/runs/demo/mesh.glb", "/compare?run=a&run=b"]


@pytest.mark.parametrize(
    "stranger",
    [
        {"cookie": False},
        {"host": f"evil.example:{PORT}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"host": "127.0.0.1:9"},
    ],
)
def test_nobody_else_gets_in(queue, fake, stranger):
    browser = Browser(queue, **stranger)
    for path in PLACES:
        answer = browser("GET", path)
        assert answer.status_code == 403 and answer.text.startswith("open the address that `prior3d studio` printed")
    assert browser("POST", "/api/jobs", content=json.dumps(count(fake))).status_code == 403
    assert browser("PUT", "/api/files/image?name=a.png", content=png()).status_code == 403
    assert all_jobs(queue.project) == [] and not (queue.project.state / "studio" / "files").exists()


def test_the_address_with_the_token_gives_the_cookie(queue):
    answer = Browser(queue, cookie=False)("GET", f"/?token={TOKEN}")
    assert answer.status_code == 303 and f"{COOKIE}-{PORT}={TOKEN}" in answer.headers["set-cookie"]


def test_the_page_loads_nothing_from_elsewhere(browser):
    answer = browser("GET", "/")
    assert answer.status_code == 200 and "http" not in answer.text.replace("http-equiv", "")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self' 'wasm-unsafe-eval'" in policy
    for name in ("studio.js", "form.js", "stage.js", "shelf.js", "ask.js", "studio.css", "model-viewer.min.js"):
        assert browser("GET", f"/static/{name}").status_code == 200
    for name in ("page.py", "..%2fpage.py", "studio.html.j2", "nothing"):
        assert browser("GET", f"/static/{name}").status_code in (404, 409)


def test_every_method_is_offered_where_a_person_looks_for_it():
    starts = {name: starts_of(method) for name, method in METHODS.items()}
    assert starts["quick"] == ["words", "image", "images"] and starts["latent-nerf"] == ["words"]
    assert starts["realfusion"] == ["image"] and starts["sketch-shape"] == ["mesh"] == starts["retexture"]
    assert starts["scene"] == ["scene", "photos"] == starts["instruct-nerf2nerf"] and starts["sparsefusion"] == [
        "images"
    ]
    assert starts["splats"] == ["splats"]
    assert all(found and set(found) <= set(STARTS) for found in starts.values())
    assert without_dashes("with --mask, or --inpainting-prior") == "with mask, or inpainting prior"


def test_a_form_says_what_it_would_make_and_makes_it_once(browser, fake, queue):
    code, plan = browser.form("/api/plan", **count(fake))
    assert code == 200 and plan["run"] == "one-two" and plan["seconds"] is None and not plan["exists"]
    assert [step["stage"] for step in plan["steps"]] == ["counting", "shouting", "joining"]
    assert all_jobs(queue.project) == []  # a plan makes nothing
    code, job = browser.form(**count(fake, key="k"))
    assert code == 200 and (job["run"], job["state"], job["asked"]) == ("one-two", "waiting", "one two")
    assert browser.form(**count(fake, key="k"))[1]["id"] == job["id"]
    assert browser.form(**count(fake, key="from a second tab"))[1]["id"] == job["id"]
    code, other = browser.form(**count(fake, inputs={"prompt": "one  two!"}))
    assert other["run"] == "one-two-2"  # something else of the same name, and both wait
    assert [each["run"] for each in browser("GET", "/api/jobs").json()] == ["one-two", "one-two-2"]


def test_a_run_that_is_there_has_its_time_and_can_be_looked_at(browser, fake):
    assert fake.run(name="one-two")[0] == 0
    code, plan = browser.form("/api/plan", **count(fake))
    assert code == 200 and plan["exists"] and plan["seconds"] == 0 and plan["steps"][0]["action"] == "keep"
    code, plan = browser.form("/api/plan", **count(fake, seed="3"))
    assert plan["steps"][0]["reasons"] == ["seed: 0 -> 3"] and plan["seconds"] is not None
    assert [run["run"] for run in browser("GET", "/api/runs").json()] == ["one-two"]
    page = browser("GET", "/runs/one-two/page")
    assert page.status_code == 200 and "sandbox allow-scripts" in page.headers["content-security-policy"]
    assert browser("GET", "/compare?run=one-two").json()["problem"].startswith("choose 2 to 6 runs")
    assert browser("GET", "/runs/one-two/mesh.glb").json()["problem"] == "one-two has no mesh yet"
    assert browser("GET", "/runs/one-two/preview.png").status_code == 404
    assert browser("GET", "/runs/nothing/live.jpg").status_code == 404
    assert browser("GET", "/runs/..%2f..%2fx/mesh.glb").status_code in (404, 409)


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"inputs": {"prompt": ""}}, "prompt", "say this in words: what to count"),
        ({"inputs": {"prompt": " \n "}}, "prompt", "prompt is empty"),
        ({"inputs": {"prompt": "a\x1b[2Jb"}}, "prompt", "which cannot be printed"),
        ({"inputs": {"prompt": "x" * 3000}}, "prompt", "3000 characters; use at most 1000"),
        ({"inputs": {"prompt": "x" * 9000}}, "prompt", "9,000 characters; use at most 1,000"),
        ({"inputs": {"prior": "/nowhere"}}, "prior", "/nowhere"),
        ({"inputs": {"image": "x"}}, "image", "counting-method takes no image"),
        ({"name": "../../x"}, "name", "use 1 to 80 letters"),
        ({"name": "<img src=x onerror=alert(1)>"}, "name", "use 1 to 80 letters"),
        ({"seed": "three"}, "seed", "is no seed; use a whole number"),
        ({"seed": "-1"}, "seed", "is no seed"),
        ({"preset": "papre"}, "preset", "use one of toy, paper, turbo"),
        ({"set": "counting.stpes=3"}, "set", "did you mean counting.steps"),
        ({"set": "counting.steps=three"}, "set", "counting.steps"),
        ({"method": "nothing"}, "", "there is no method 'nothing'"),
    ],
)
def test_bad_input_is_one_line_beside_its_field(browser, fake, queue, changes, field, problem):
    for path in ("/api/plan", "/api/jobs"):
        code, said = browser.form(path, **count(fake, **changes))
        assert code in (409, 422) and said["field"] == field and problem in said["problem"], said
        assert len(said["problem"].splitlines()) == 1 and "--" not in said["problem"]
    assert all_jobs(queue.project) == []


@pytest.mark.parametrize(
    ("kind", "name", "content", "problem"),
    [
        ("image", "notes.txt", b"hello", "this is no image: its ending is '.txt'; choose one of .png"),
        ("image", "notes.png", b"hello", "this file: cannot be read as an image"),
        ("image", "cut.png", png((64, 64))[:60], "choose another file"),
        ("image", "empty.png", b"", "this file is empty"),
        ("image", "noending", png(), "its name has no ending"),
        ("image", "a\x00/..\\..\\x.exe", png(), "this is no image"),
        ("mesh", "x.obj", b"not a mesh", "this file"),
        ("mesh", "x.png", png(), "this is no mesh"),
        ("film", "x.png", png(), "a file is an image or a mesh"),
    ],
)
def test_a_bad_file_is_one_line(browser, queue, kind, name, content, problem):
    answer = browser("PUT", f"/api/files/{kind}", params={"name": name}, content=content)
    assert answer.status_code == 409 and problem in answer.json()["problem"]
    assert len(answer.json()["problem"].splitlines()) == 1
    left = list((queue.project.state / "studio" / "files").glob("**/*"))
    assert left == []


def test_a_file_of_200_mb_is_refused_while_it_comes(browser, queue, monkeypatch):
    sent = []

    def chunks():
        for number in range(200):
            sent.append(number)
            yield b"\x89PNG" + bytes(999_996)

    answer = browser("PUT", "/api/files/image?name=big.png", content=chunks())
    assert answer.json()["problem"] == "this file has more than 50 MB; choose a smaller one"
    assert list((queue.project.state / "studio" / "files").glob("*")) == []


def test_an_image_is_kept_once_under_its_content_and_a_harmless_name(browser, queue):
    hostile = "../../<b>A cat\u202egnp.exe</b>/\u00e4 Cat!.PNG"
    first = browser("PUT", "/api/files/image", params={"name": hostile}, content=png()).json()["upload"]
    again = browser("PUT", "/api/files/image", params={"name": "b.png"}, content=png()).json()["upload"]
    assert first == again
    (kept,) = (queue.project.state / "studio" / "files").glob("*/*")
    assert kept.name == "cat.png" and kept.read_bytes() == png()
    assert browser("GET", f"/api/files/{first}").content == png()
    for name in ("..", "%2e%2e", "f" * 32):
        assert browser("GET", f"/api/files/{name}").status_code in (404, 409)


def test_a_folder_is_kept_file_by_file_and_stays_inside(browser, queue):
    name = "0123456789abcdef" * 2

    def put(path, content=b"{}"):
        return browser("PUT", f"/api/folders/{name}", params={"path": path}, content=content).status_code

    assert put("My lego/transforms.json") == 200 and put("My lego/images/r_0.png", png()) == 200
    for outside in ("../x", "a/../../x", "/etc/x", "x", "a/\x00", "a\\..\\..\\x"):
        assert put(outside) == 409
    files = queue.project.state / "studio" / "files" / name
    assert sorted(p.relative_to(files).as_posix() for p in files.rglob("*") if p.is_file()) == [
        "my-lego/images/r_0.png", "my-lego/transforms.json",
    ]  # fmt: skip
    assert browser("PUT", "/api/folders/x", params={"path": "a/b"}, content=b"x").status_code == 409


def test_old_uploads_that_no_job_uses_are_removed(browser, queue):
    import os

    upload = browser("PUT", "/api/files/image?name=a.png", content=png()).json()["upload"]
    place = queue.project.state / "studio" / "files" / upload
    os.utime(place, (0, 0))
    (place.parent / ".half.partial").touch()
    uploads = __import__("flows.studio.uploads", fromlist=["Uploads"]).Uploads(queue.project)
    uploads.tidy(f"used: {upload}")
    assert place.is_dir() and not (place.parent / ".half.partial").exists()
    uploads.tidy("")
    assert not place.exists()


def test_a_form_that_is_none_is_refused(browser, queue):
    for content in (b"", b"[]", b'{"inputs": 3}', b"\xff", b"[" * 50_000):
        assert browser("POST", "/api/jobs", content=content).json()["problem"].startswith("this form cannot be read")
    assert "too much text" in browser("POST", "/api/jobs", content=b"x" * 100_000).json()["problem"]
    job = browser.form(method="counting-method", inputs={"prompt": "x"})
    assert job[0] == 200 or job[1]["field"]
    assert browser("POST", "/api/jobs/nothing/stop").json()["problem"].startswith("this job is no longer")
    assert browser("POST", "/api/jobs/nothing/explode").status_code == 409
