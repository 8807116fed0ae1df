"""The short form of `benchmarks/faults.py`: readers of files that were changed a little, and a few kills."""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.campaign import around, damage, kills
from benchmarks.campaign.fuzzing import fuzz, in_child
from benchmarks.campaign.hook import HOOK
from benchmarks.campaign.power import power_cuts
from benchmarks.campaign.project import FakeProject
from benchmarks.campaign.reader import Reader
from benchmarks.campaign.readers import READERS
from benchmarks.campaign.state import Campaign, Found
from prior3d.errors import Prior3dError

SHORT_S = 60.0


@pytest.fixture(scope="module", params=sorted(READERS))
def valid(request, tmp_path_factory):
    """A reader, and a folder with an input that it reads."""
    reader, folder = READERS[request.param], tmp_path_factory.mktemp("valid")
    reader.write(folder)
    reader.read(folder)
    return reader, folder


@settings(max_examples=30, deadline=10_000, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False))
def test_a_changed_file_is_read_or_refused(valid, rng):
    reader, folder = valid
    file = rng.choice(sorted(reader.changed))
    before = (folder / file).read_bytes()
    try:
        (folder / file).write_bytes(reader.changed[file](before, rng))
        reader.read(folder)
    except reader.refuses as error:
        assert "\n" not in str(error) or reader.refuses != (Prior3dError,)
    finally:
        (folder / file).write_bytes(before)


@pytest.mark.parametrize("value", ("1" + "0" * 400, "1e999", "NaN", "-1", "null", "[]"))
def test_any_number_of_a_json_file_may_be_odd(valid, value):
    """Each number in turn is replaced; the reader refuses the file, or reads it."""
    reader, folder = valid
    for file in (name for name in reader.changed if name.endswith((".json", ".lock", ".yaml"))):
        before = (folder / file).read_text()
        try:
            for number in list(re.finditer(r"(?<=[:\s\[])-?\d[\d.e+-]*(?=[,\]}\s])", before))[:40]:
                (folder / file).write_text(before[: number.start()] + value + before[number.end() :])
                with contextlib.suppress(*reader.refuses):
                    reader.read(folder)
        finally:
            (folder / file).write_text(before)


def test_what_is_not_refused_is_counted(tmp_path):
    def read(folder):
        content = (folder / "a").read_bytes()
        if content and content[0] != 65:
            raise KeyError("not an A")

    reader = Reader(
        lambda folder: (folder / "a").write_bytes(b"A" * 8),
        {"a": lambda old, rng: bytes([rng.randrange(60, 70)])},
        read,
    )
    found = fuzz("odd", reader, 0, 40, tmp_path)
    assert found.inputs == 40 and 20 < sum(found.uncaught.values()) < 40 == found.inputs
    assert list(found.examples.values())[0] < 3 and (tmp_path / "a").read_bytes() == b"A" * 8


def test_a_reader_that_takes_the_process_with_it_is_counted(monkeypatch):
    dying = Reader(
        lambda folder: (folder / "a").write_bytes(b""),
        {"a": lambda old, rng: b""},
        lambda folder: os.kill(os.getpid(), 9),
    )
    monkeypatch.setitem(READERS, "dying", dying)
    assert in_child("dying", 0, 5) == Found(inputs=5, deaths=1)


def test_the_campaign_goes_on_where_it_stopped(tmp_path):
    campaign = Campaign(tmp_path / "faults.json")
    campaign.add("a promise", "first", "")
    campaign.add("a promise", "second", "another result")
    again = Campaign(tmp_path / "faults.json")
    assert again.done("a promise", "first") and not again.done("a promise", "third")
    assert again.rows() == [["a promise", "2", "1", "second: another result"]]


def test_the_clock_of_a_process_under_trial_jumps(tmp_path):
    """The trial would hold whatever happens if the clock stayed right."""
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    clock = tmp_path / "clock"
    code = "import pathlib, sys, time, datetime; a = time.time(), datetime.datetime.now(); " \
           "pathlib.Path(sys.argv[1]).write_text('-36000'); b = time.time(), datetime.datetime.now(); " \
           "print(round((a[0] - b[0]) / 3600), round((a[1] - b[1]).total_seconds() / 3600))"  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "FAULT_CLOCK": str(clock)}
    said = subprocess.run([sys.executable, "-c", code, str(clock)], env=environment, capture_output=True, text=True)
    assert said.stdout.split() == ["10", "10"], said.stderr


@pytest.mark.slow
def test_a_few_kills_full_disks_and_damaged_objects(tmp_path):
    """At most a minute of trials."""
    project, campaign, until = FakeProject(), Campaign(tmp_path / "faults.json"), time.monotonic() + SHORT_S

    def is_time():
        return time.monotonic() < until

    try:
        power_cuts(project, campaign, lambda: itertools.count(1, 83), is_time)
        kills.of_command(project, campaign, lambda: itertools.count(1, 131), is_time)
        kills.of_stages(project, campaign, lambda: itertools.count(1, 31), is_time)
        kills.at_instants(project, campaign, lambda: range(2), is_time)
        around.clocks(project, campaign, lambda: range(2), is_time)
        kills.full_disk(project, campaign, lambda: itertools.count(1, 173), is_time)
        damage.objects(project, campaign, is_time)
    finally:
        project.remove()
    rows = campaign.rows()
    assert len(rows) >= 3 and all(row[1] == row[2] for row in rows), rows
