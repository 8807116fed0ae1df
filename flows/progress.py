"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

from flows.engine.events import Event

LINE_EVERY_S = 5.0
STATES = {"Cached": "unchanged", "Restored": "restored", "Completed": "done"}


class Display(Protocol):
    """Shows events; closed at the end."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def close(self) -> None:
        """Leave the last picture as it is."""


@dataclass
class StageState:
    """What is known of one stage.

    Attributes:
        state: for people.
        rate: steps a second since its process started, without steps before a resume.
    """

    name: str
    state: str = "waiting"
    step: int = 0
    total: int = 0
    loss: float | None = None
    text: str = ""
    preview: str = ""
    seconds: float | None = None
    _first: tuple[float, int] | None = None
    _now: float = field(default_factory=time.monotonic)

    def take(self, event: Event) -> None:
        """Bring it up to date."""
        data = event.data
        if event.kind == "started":
            self.state, self._first = "looked up", None
        elif event.kind == "running":
            self.state = "running"
        elif event.kind == "progress":
            self._progress(data)
        elif event.kind == "ended":
            self.state, self.seconds = STATES[data["outcome"]], data["seconds"]
        elif event.kind in ("failed", "retrying"):
            self.state = event.kind

    def _progress(self, data: dict[str, Any]) -> None:
        self._now = time.monotonic()
        self.step, self.total = int(data["step"]), int(data.get("total", 0))
        if self._first is None or self.step < self._first[1]:
            self._first = (self._now, self.step)
        self.loss, self.text = data.get("loss", self.loss), data.get("text", self.text)
        self.preview = data.get("preview", self.preview)

    @property
    def rate(self) -> float | None:
        """Steps a second; None while unknown."""
        if self._first is None or self._now <= self._first[0] or self.step <= self._first[1]:
            return None
        return (self.step - self._first[1]) / (self._now - self._first[0])

    @property
    def remaining_s(self) -> float | None:
        """Seconds to go at this rate; None while unknown."""
        return None if self.rate is None else max(0, self.total - self.step) / self.rate

    def details(self) -> str:
        """Rate, remaining time, loss and text, as far as they are known."""
        parts = []
        if self.state == "running" and self.rate is not None and self.remaining_s is not None:
            parts += [f"{self.rate:.1f} steps/s", f"{duration(self.remaining_s)} left"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4g}")
        return ", ".join(parts + ([self.text] if self.text else []))


def make_display(stages: list[str], plain: bool, stream: TextIO | None = None) -> Display:
    """The display that suits a stream (stdout without one)."""
    stream = stream or sys.stdout
    if plain or not stream.isatty():
        return PlainDisplay(stages, stream)
    return LiveDisplay(stages)


class PlainDisplay:
    """One line when something begins or ends, one every five seconds meanwhile, and every warning."""

    def __init__(self, stages: list[str], stream: TextIO) -> None:
        self._states = {name: StageState(name) for name in stages}
        self._stream, self._lock = stream, threading.Lock()
        self._last: dict[str, float] = {}
        self._fresh_previews: set[str] = set()  # stages whose newest preview has not been named yet
        self._unsaid: dict[str, str] = {}  # the newest text of stages whose lines since then were left out
        self._width = max((len(n) for n in stages), default=0)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            state = self._states[event.stage]
            state.take(event)
            text = self._text(event, state)
            if text:
                self._stream.write(f"{event.stage:<{self._width}}  {text}\n")
                self._stream.flush()

    def _text(self, event: Event, state: StageState) -> str:
        if event.kind == "line":
            return f"| {event.data['text']}"
        if event.kind == "ended":
            unsaid = self._unsaid.pop(event.stage, "")
            return f"{state.state} in {event.data['seconds']:.1f} s{'; ' * bool(unsaid)}{unsaid}"
        if event.kind == "retrying":
            return f"crashed, trying again: {event.data['message'].splitlines()[0]}"
        if event.kind == "running":
            self._last[event.stage] = time.monotonic()
            return "running"
        if event.kind == "failed":
            return "failed"
        if warns(event):
            return f"| {event.data['text']}"
        if "preview" in event.data:
            self._fresh_previews.add(event.stage)
        if event.kind == "progress" and "text" in event.data:
            self._unsaid[event.stage] = event.data["text"]
        if event.kind != "progress" or time.monotonic() - self._last.get(event.stage, 0.0) < LINE_EVERY_S:
            return ""
        self._last[event.stage] = time.monotonic()
        self._unsaid.pop(event.stage, None)
        preview = f", preview {state.preview}" if event.stage in self._fresh_previews else ""
        self._fresh_previews.discard(event.stage)
        return f"{state.step}/{state.total}  {state.details()}{preview}"

    def close(self) -> None:
        """Nothing to tidy."""


class LiveDisplay:
    """A table of all stages that is drawn anew four times a second."""

    def __init__(self, stages: list[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._states = {name: StageState(name) for name in stages}
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._table)
        self._live.start()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        self._states[event.stage].take(event)
        if event.kind == "line" or warns(event):
            self._console.print(f"{event.stage} | {event.data['text']}", markup=False, style="dim")
        elif event.kind == "retrying":
            self._console.print(f"{event.stage} crashed, trying again: {event.data['message']}", markup=False)

    def _table(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        colours = {"running": "cyan", "done": "green", "restored": "green", "unchanged": "green", "failed": "red"}
        table = Table.grid(padding=(0, 2))
        for s in self._states.values():
            shown = s.state == "running" and s.total > 0
            bar = ProgressBar(total=s.total, completed=s.step, width=24) if shown else ""
            count = f"{s.step}/{s.total}" if shown else f"{s.seconds:.1f} s" if s.seconds is not None else ""
            table.add_row(
                s.name, Text(s.state, style=colours.get(s.state, "dim")), bar, count, Text(s.details(), style="dim")
            )
            if s.preview and s.state == "running":
                table.add_row("", Text("preview", style="dim"), "", "", Text(s.preview, style="dim"))
        return table

    def close(self) -> None:
        """Leave the last picture as it is."""
        self._live.stop()


def warns(event: Event) -> bool:
    """Whether the text of a progress event must be seen even if others follow at once."""
    return event.kind == "progress" and event.data.get("text", "").startswith("warning:")


def duration(seconds: float) -> str:
    """A duration for people: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
