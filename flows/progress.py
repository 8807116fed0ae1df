"""What a person sees while a run works: a live table on a terminal, plain lines elsewhere."""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TextIO

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

from flows.engine.events import Display, Event, warns
from flows.terminal import clean, show

LINE_EVERY_S = 5.0
RATE_OVER_S = 120.0  # steps may take half a minute each
STATES = {"Cached": "unchanged", "Restored": "restored", "Completed": "done"}
COLOURS = {
    "running": "cyan",
    "done": "green",
    "restored": "green",
    "unchanged": "green",
    "failed": "red",
    "interrupted": "yellow",
}


@dataclass
class StageState:
    """What is known of one stage.

    Attributes:
        task: its name and its steps; the rate leaves out the steps before a resume.
        state: for people.
        seconds: how long it took; None until it has ended.
    """

    task: Task
    state: str = "waiting"
    loss: float | None = None
    text: str = ""
    preview: str = ""
    seconds: float | None = None

    @property
    def count(self) -> str:
        """Steps taken and steps in all."""
        return f"{self.task.completed:,.0f}/{self.task.total or 0:,.0f}"

    def details(self) -> str:
        """Rate, remaining time, loss and text, as far as they are known."""
        parts = []
        speed, remaining_s = self.task.speed, self.task.time_remaining
        if self.state == "running" and speed and remaining_s is not None:
            parts += [f"{speed:.1f} steps/s", f"{duration(remaining_s)} left"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4g}")
        return ", ".join(parts + ([self.text] if self.text else []))


class Stages:
    """The stages of a run, kept up to date; `progress` can show them."""

    def __init__(self, names: list[str], stream: TextIO, clock: Callable[[], float]) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            _Column(lambda s: Text(s.state, style=COLOURS.get(s.state, "dim"))),
            _Column(lambda s: ProgressBar(s.task.total, s.task.completed, width=24) if _counts(s) else ""),
            _Column(lambda s: s.count if _counts(s) else f"{s.seconds:.1f} s" if s.seconds is not None else ""),
            _Column(_details),
            console=Console(file=stream, highlight=False),
            refresh_per_second=4,
            speed_estimate_period=RATE_OVER_S,
            get_time=clock,
        )
        for name in names:
            self.progress.add_task(name, start=False)
        self.states = {task.description: StageState(task) for task in self.progress.tasks}
        for task in self.progress.tasks:
            task.fields["stage"] = self.states[task.description]

    def take(self, event: Event) -> StageState:
        """Bring a stage up to date."""
        state, data = self.states[event.stage], event.data
        if event.kind == "started":
            state.state = "looked up"
        elif event.kind == "running":
            state.state = "running"
            self.progress.reset(state.task.id)
        elif event.kind == "progress":
            self.progress.update(state.task.id, completed=int(data["step"]), total=int(data.get("total", 0)))
            state.loss = data.get("loss", state.loss)
            state.text = state.text if warns(event) else data.get("text", state.text)  # a warning has its own line
            state.preview = os.path.relpath(data["preview"]) if "preview" in data else state.preview
        elif event.kind == "ended":
            state.state, state.seconds = STATES[data["outcome"]], data["seconds"]
        elif event.kind in ("failed", "interrupted", "retrying"):
            state.state = event.kind
        return state


class _Column(ProgressColumn):
    """A column that shows something of a stage's state."""

    def __init__(self, show: Callable[[StageState], RenderableType]) -> None:
        super().__init__()
        self._show = show

    def render(self, task: Task) -> RenderableType:
        return self._show(task.fields["stage"])


def _counts(state: StageState) -> bool:
    return state.state == "running" and bool(state.task.total)


def _details(state: StageState) -> Text:
    preview = f"\npreview {state.preview}" if state.preview and state.state == "running" else ""
    return Text(state.details() + preview, style="dim")


def make_display(names: list[str], plain: bool, stream: TextIO | None = None) -> Display:
    """The display of some stages that suits a stream (stdout without one)."""
    stream = stream or sys.stdout
    return PlainDisplay(names, stream) if plain or not stream.isatty() else LiveDisplay(names, stream)


class PlainDisplay:
    """One line when something begins or ends, one every five seconds meanwhile, and every warning."""

    def __init__(self, names: list[str], stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stages, self._stream, self._lock = Stages(names, stream, clock), stream, threading.Lock()
        self._clock = clock
        self._last: dict[str, float] = {}
        self._fresh_previews: set[str] = set()  # stages whose newest preview has not been named yet
        self._unsaid: dict[str, str] = {}  # the newest text of stages, if no line has said it yet
        self._width = max((len(n) for n in names), default=0)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            event = _cleaned(event)
            text = self._text(event, self._stages.take(event))
            if text:
                show(self._stream, f"{event.stage:<{self._width}}  {text}")

    def _text(self, event: Event, state: StageState) -> str:
        if event.kind == "line":
            return f"| {event.data['text']}"
        if event.kind == "ended":
            unsaid = self._unsaid.pop(event.stage, "")
            return f"{state.state} in {event.data['seconds']:.1f} s{'; ' * bool(unsaid)}{unsaid}"
        if event.kind == "retrying":
            return f"crashed, trying again: {event.data['message'].splitlines()[0]}"
        if event.kind == "running":
            self._last[event.stage] = self._clock()
            return "running"
        if event.kind in ("failed", "interrupted"):
            return event.kind
        if warns(event):
            return f"| {event.data['text']}"
        if "preview" in event.data:
            self._fresh_previews.add(event.stage)
        if event.kind == "progress" and "text" in event.data:
            self._unsaid[event.stage] = event.data["text"]
        if event.kind != "progress" or self._clock() - self._last.get(event.stage, 0.0) < LINE_EVERY_S:
            return ""
        self._last[event.stage] = self._clock()
        self._unsaid.pop(event.stage, None)
        preview = f", preview {state.preview}" if event.stage in self._fresh_previews else ""
        self._fresh_previews.discard(event.stage)
        return f"{state.count}  {state.details()}{preview}"

    def close(self) -> None:
        """Nothing to do."""


class LiveDisplay:
    """A table of all stages that is redrawn four times a second."""

    def __init__(self, names: list[str], stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stages = Stages(names, stream, clock)
        self._progress = self._stages.progress
        self._progress.start()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        event = _cleaned(event)
        self._stages.take(event)
        if event.kind == "line" or warns(event):
            self._progress.console.print(f"{event.stage} | {event.data['text']}", markup=False, style="dim")
        elif event.kind == "retrying":
            text = f"{event.stage} crashed, trying again: {event.data['message']}"
            self._progress.console.print(text, markup=False)

    def close(self) -> None:
        """Stop updating; the last table stays."""
        self._progress.stop()


def _cleaned(event: Event) -> Event:
    """An event whose texts, which a stage or a library printed, do not steer the terminal."""
    return replace(event, data={k: clean(v) if isinstance(v, str) else v for k, v in event.data.items()})


def duration(seconds: float) -> str:
    """A duration for people: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
