"""`find` over runs and versions; `diff --fail-on-change`."""

import json

import pytest


@pytest.fixture
def found(boxes):
    boxes.make("one", "a red box", 200)
    boxes.make("one", "a red box", 90)
    boxes.make("two", "a blue cup", 20)
    return boxes


def versions(fake, *words):
    code, out, err = fake.cli("find", "--json", *words)
    assert (code, err) == (0, ""), err
    return [match["label"] for match in json.loads(out)]


def test_versions_are_found_by_what_was_asked_for_and_measured(found):
    assert versions(found) == ["one@1", "one@2", "two@1"]
    assert versions(found, "--newest") == ["one@2", "two@1"]
    assert versions(found, "--prompt", "RED") == ["one@1", "one@2"]
    assert versions(found, "--prompt", "a * cup") == ["two@1"]
    assert versions(found, "--method", "boxes", "--where", "redness>50") == ["one@1", "one@2"]
    assert versions(found, "--where", "redness>=90", "--where", "redness < 200") == ["one@2"]
    assert versions(found, "--where", "picturing.redness != 90") == ["one@1", "two@1"]
    assert versions(found, "--where", "picturing.red = 20") == ["two@1"]  # a parameter
    assert versions(found, "--where", "counting.fail=crash") == []
    assert versions(found, "--prior", found.prior.name) == ["one@1", "one@2", "two@1"]
    assert versions(found, "--prior", "another") == [] and versions(found, "--method", "latent-nerf") == []
    rows = found.cli("find", "--where", "redness>50")[1].splitlines()
    assert rows[0].split() == ["version", "method", "redness", "asked", "for"]
    assert rows[1].split() == ["one@1", "boxes", "200", "a", "red", "box"]
    assert "no version fits" in found.cli("find", "--prompt", "zebra")[1]


def test_a_wrong_search_is_one_line(found):
    for words, expected in (
        (("--where", "rednes>50"), "did you mean 'redness'?"),
        (("--where", "picturing.rad>50"), "did you mean 'picturing.red'?"),
        (("--where", "redness"), "write NAME, one of"),
        (("--where", "redness>much"), "'much' is no number"),
        (("--method", "boxs"), "did you mean 'boxes'?"),
        (("--promt", "x"), "did you mean --prompt?"),
    ):
        code, out, err = found.cli("find", *words)
        assert (code, out) == (2, "") and expected in err and len(err.splitlines()) == 1, (words, err)


def test_diff_fails_on_change_if_asked_to(found):
    assert found.cli("diff", "one@1", "one@2")[0] == 0
    code, out, _ = found.cli("diff", "one@1", "one@2", "--fail-on-change")
    assert code == 1 and "~ picturing" in out
    assert found.cli("diff", "one@1", "two@1", "--fail-on-change", "--json")[0] == 1
    found.make("three", "a red box", 90)
    assert found.cli("diff", "one@2", "three", "--fail-on-change")[0] == 0
