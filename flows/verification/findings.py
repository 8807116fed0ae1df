"""What a check looked at, what it found, and what was done about it."""

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from flows.engine.project import Project
from prior3d.inside import remove

ALIKE_BYTES = 16  # so few bytes apart, two files of one length are the same one, and a disk turned bits over


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        kind: artifact, object, lock, record, checksum, result, checkpoint, prior or input.
        what: which one, for people.
        problem: what is wrong with it.
        done: what was done; empty if nothing could be, or if nothing was to be done.
        remedy: what a person can do, where nothing was done.
    """

    kind: str
    what: str
    problem: str
    done: str = ""
    remedy: str = ""

    @property
    def healed(self) -> bool:
        """Whether all is well again."""
        return bool(self.done)

    def text(self) -> str:
        """One line."""
        end = f" -> {self.done}" if self.done else f"; {self.remedy}" if self.remedy else ""
        return f"{'ok' if self.healed else '!!'} {self.kind} {self.what}: {self.problem}{end}"


@dataclass
class Check:
    """One sitting of `verify`.

    Attributes:
        project: the project.
        heals: whether to put back what can be put back.
        findings: in the order in which they were found.
        n_read: kind -> how many were read.
        notes: what is worth knowing and is no damage.
    """

    project: Project
    heals: bool = True
    findings: list[Finding] = field(default_factory=list)
    n_read: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def found(self, kind: str, what: str, problem: str, done: str = "", remedy: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(kind, what, problem, done, remedy))

    def put_back(self, place: Path, content: bytes, mode: int = 0o644) -> None:
        """Write a whole content where a damaged one lies; the damaged one is set aside."""
        self.set_aside(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.verify.tmp")
        temporary.write_bytes(content)
        temporary.chmod(mode)
        temporary.replace(place)

    def set_aside(self, place: Path) -> None:
        """Move a damaged file to `.prior3d/damaged`: it may be one that a person edited."""
        if not place.is_file() or place.is_symlink():
            remove(place)
            return
        root = self.project.root.resolve()
        inside = place.absolute().is_relative_to(root)
        name = place.absolute().relative_to(root) if inside else Path("outside", *place.absolute().parts[1:])
        aside = self.project.state / "damaged" / name
        aside.parent.mkdir(parents=True, exist_ok=True)
        remove(aside)
        shutil.move(place, aside)

    def shown(self, place: Path) -> str:
        """A path as it is told: within the project relative to it."""
        root = self.project.root.resolve()
        return str(place.relative_to(root)) if place.is_relative_to(root) else str(place)


def alike(a: bytes, b: bytes) -> bool:
    """Whether two contents have one length and differ in a few bytes only."""
    return len(a) == len(b) and a != b and sum(x != y for x, y in zip(a, b, strict=True)) <= ALIKE_BYTES
