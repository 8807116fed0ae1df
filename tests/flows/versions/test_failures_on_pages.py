"""The page of a run shows what a failed stage printed, until it succeeds."""

import html

import pytest


@pytest.fixture
def page(fake):
    def of(name="demo"):
        code, _, err = fake.cli("open", name, "--no-browser", "--to", str(fake.project / "page.html"))
        assert (code, err) == (0, ""), err
        return html.unescape((fake.project / "page.html").read_text())

    return of


def test_a_crash_is_shown_with_its_traceback_until_the_stage_succeeds(fake, page):
    code, _, err = fake.run("--set", "counting.fail=crash")
    assert code == 2 and "all that it printed: prior3d open demo" in err
    text = page()  # although nothing was made
    assert "counting failed" in text and "Traceback (most recent call last)" in text
    assert 'raise ValueError("something unforeseen")' in text and "stage counting failed with exit code 1" in text
    assert fake.run()[0] == 0
    assert "Traceback" not in page()


def test_a_later_failure_stands_on_the_page_of_what_is_there(fake, page):
    fake.run()
    fake.edit("shouting/stage.py", "text.upper()", "text.uper()")
    assert fake.run()[0] == 2
    text = page()
    assert "shouting failed" in text and "has no attribute 'uper'" in text and "Measurements" in text
    fake.edit("shouting/stage.py", "text.uper()", "text.upper()")
    assert fake.run()[0] == 0 and "Traceback" not in page()


def test_a_mistake_of_a_person_is_shown_as_its_line(fake, page):
    code, _, err = fake.run("--set", "counting.fail=user")
    assert code == 2 and "the count came to nothing; raise counting.steps" in err
    text = page()
    assert "the count came to nothing; raise counting.steps" in text and "Traceback" not in text
