"""What happens in a run, passed on to its displays: the terminal, Prefect."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["started", "running", "progress", "line", "ended", "failed", "interrupted", "retrying"]


@dataclass(frozen=True)
class Event:
    """Something that happened in a stage.

    Attributes:
        stage: its name.
        kind: `started` (looked up), `running` (its process started), `progress`, `line` (printed), `ended`, `failed`,
            `interrupted` (stopped at its checkpoint), `retrying`.
        data: for progress: step, total, loss, preview, text; for ended: outcome, seconds; for failed: message.
    """

    stage: str
    kind: Kind
    data: dict[str, Any] = field(default_factory=dict)


class Display(Protocol):
    """Shows events; closed at the end."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def close(self) -> None:
        """Stop updating; what is displayed stays."""


class Events:
    """Passes each event to every listener, in the thread in which it happens."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Add a listener."""
        self._listeners.append(listener)

    def leave(self, listener: Callable[[Event], None]) -> None:
        """Remove a listener."""
        self._listeners.remove(listener)

    def tell(self, stage: str, kind: Kind, **data: Any) -> None:
        """Pass an event on."""
        for listener in list(self._listeners):
            listener(Event(stage, kind, data))


def warns(event: Event) -> bool:
    """Whether the text of a progress event must be seen even if others follow at once."""
    return event.kind == "progress" and event.data.get("text", "").startswith("warning:")
