"""What a run prints while it goes: the live table, and lines where there is no terminal."""

import io
from types import SimpleNamespace

import pytest
from rich import console

from flows.commands import running
from flows.engine.events import Event
from flows.progress import LiveDisplay, PlainDisplay, Stages, duration
from flows.terminal import size_text


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_rate_and_remaining_time_leave_out_what_was_done_before_a_resume():
    clock = Clock()
    stages = Stages(["s"], io.StringIO(), clock)
    stages.take(Event("s", "running"))
    stages.take(Event("s", "progress", {"step": 0, "total": 200, "text": "reading 45 pictures"}))
    clock.now += 60
    state = stages.take(Event("s", "progress", {"step": 80, "total": 200}))  # its checkpoint
    assert state.task.speed is None and "left" not in state.details()
    clock.now += 10
    state = stages.take(Event("s", "progress", {"step": 100, "total": 200}))
    assert state.task.speed == pytest.approx(2.0) and "2.0 steps/s, 50 s left" in state.details()
    stages.take(Event("s", "retrying", {"message": "crashed"}))
    stages.take(Event("s", "running"))
    state = stages.take(Event("s", "progress", {"step": 80, "total": 200}))
    assert state.count == "80/200" and "left" not in state.details()
    assert [duration(s) for s in (42.4, 200, 7500)] == ["42 s", "3 min 20 s", "2 h 5 min"]


def test_many_steps_are_written_as_people_write_them():
    stages = Stages(["s"], io.StringIO(), Clock())
    assert stages.take(Event("s", "progress", {"step": 8192, "total": 154_731})).count == "8,192/154,731"


def test_sizes_as_people_say_them():
    said = ["0 bytes", "312 bytes", "12 kB", "0.4 MB", "10 MB", "223 MB", "1.3 GB", "1,300 GB"]
    assert [size_text(n) for n in (0, 312, 12_345, 412_000, 9_960_000, 2.23e8, 1.31e9, 1.3e12)] == said


def test_plain_display_is_not_flooded():
    stream = io.StringIO()
    display = PlainDisplay(["s"], stream)
    display(Event("s", "running"))
    for step in range(100):
        display(Event("s", "progress", {"step": step, "total": 100}))
    display(Event("s", "progress", {"step": 99, "total": 100, "preview": "s/p.png"}))
    assert stream.getvalue().splitlines() == ["s  running"]


def test_plain_display_tells_the_last_text_and_every_warning():
    stream = io.StringIO()
    display = PlainDisplay(["s"], stream)
    display(Event("s", "running"))
    display(Event("s", "progress", {"step": 0, "total": 2, "text": "warning: unknown words"}))
    display(Event("s", "progress", {"step": 1, "total": 2, "text": "one of two"}))
    display(Event("s", "progress", {"step": 2, "total": 2, "text": "trust 0.10"}))
    display(Event("s", "ended", {"outcome": "Completed", "seconds": 1.0}))
    lines = stream.getvalue().splitlines()
    assert lines == ["s  running", "s  | warning: unknown words", "s  done in 1.0 s; trust 0.10"]


def test_a_warning_is_not_said_again_with_the_steps(monkeypatch):
    monkeypatch.setattr("flows.progress.LINE_EVERY_S", 0.0)
    stream = io.StringIO()
    display = PlainDisplay(["s"], stream)
    display(Event("s", "progress", {"step": 0, "total": 2, "text": "warning: unknown words"}))
    display(Event("s", "progress", {"step": 1, "total": 2, "loss": 0.5}))
    assert stream.getvalue().splitlines() == ["s  | warning: unknown words", "s  1/2  loss 0.5"]


@pytest.mark.parametrize("kind", ["failed", "interrupted"])
def test_a_stage_that_was_interrupted_has_not_failed(kind):
    plain, live = io.StringIO(), io.StringIO()
    for display in (PlainDisplay(["s"], plain), LiveDisplay(["s"], live)):
        display(Event("s", "running"))
        display(Event("s", kind, {"message": "stopped"}))
        display.close()
    assert plain.getvalue().splitlines()[-1] == f"s  {kind}" and kind in live.getvalue()


def test_a_preview_is_named_from_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.progress.LINE_EVERY_S", 0.0)
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    display = PlainDisplay(["s"], stream)
    preview = tmp_path / "data" / "runs" / "mug" / "preview.png"
    display(Event("s", "progress", {"step": 1, "total": 2, "preview": str(preview)}))
    assert stream.getvalue().strip().endswith("preview data/runs/mug/preview.png")


def test_plain_display_names_a_new_preview_once(monkeypatch):
    monkeypatch.setattr("flows.progress.LINE_EVERY_S", 0.0)
    stream = io.StringIO()
    display = PlainDisplay(["s"], stream)
    display(Event("s", "progress", {"step": 50, "total": 100, "preview": "s/p.png"}))
    display(Event("s", "progress", {"step": 60, "total": 100}))
    first, second = stream.getvalue().splitlines()
    assert first.startswith("s  50/100") and first.endswith("preview s/p.png")
    assert second.startswith("s  60/100") and "preview" not in second


def test_live_display_shows_bar_rate_loss_and_preview():
    clock, stream = Clock(), io.StringIO()
    display = LiveDisplay(["s", "later"], stream, clock)
    display(Event("s", "running"))
    for step in (40, 90):
        display(Event("s", "progress", {"step": step, "total": 100, "loss": 0.25, "preview": "s/p.png"}))
        clock.now += 5
    shown = console.Console(width=120, file=io.StringIO(), highlight=False)
    shown.print(display._progress.get_renderable())
    display.close()
    for part in ("s ", "running", "90/100", "10.0 steps/s", "1 s left", "loss 0.25", "s/p.png", "later", "waiting"):
        assert part in shown.file.getvalue()


def test_live_display_prints_lines_and_warnings_above_the_table():
    stream = io.StringIO()
    display = LiveDisplay(["s"], stream)
    display(Event("s", "line", {"text": "[said]"}))
    display(Event("s", "progress", {"step": 0, "total": 2, "text": "warning: unknown words"}))
    display(Event("s", "retrying", {"message": "out of memory"}))
    display(Event("s", "ended", {"outcome": "Completed", "seconds": 1.0}))
    display.close()
    for line in ("s | [said]", "s | warning: unknown words", "s crashed, trying again: out of memory", "1.0 s"):
        assert line in stream.getvalue()


def test_warnings_are_kept_to_be_said_again_at_the_end(monkeypatch):
    monkeypatch.setattr("flows.commands.running.wanted_stages", lambda *_: [])
    shown = running._Shown(SimpleNamespace(declaration=None, options=SimpleNamespace(stop_after="")))
    for text in ("reading", "warning: the prior does not know this thing", "done"):
        shown.events.tell("s", "progress", step=0, total=2, text=text)
    assert shown.warnings == ["s: the prior does not know this thing"]
