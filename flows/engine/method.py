"""How a method is declared: its inputs, its stages, and what feeds what."""

import importlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Literal

INPUT_FILES = {
    "text": "inputs/{name}.txt",
    "prior": "inputs/{name}.json",
    "folder": "inputs/{name}",
    "file": "inputs/{name}",
}


@dataclass(frozen=True)
class Input:
    """Something a person gives to a method.

    Attributes:
        name: also its option on the command line.
        kind: `text`, `prior`, or a `file` or `folder` that is copied into the run.
        help: what it is, for people.
        default: used when it is not given; `None` makes it required.
        longest: most characters of a text.
        suffixes: file name endings that a `file` may have.
        role: of a prior: what it has to serve as, e.g. `inpainting` (see `prior3d.diffusion.folders`).
        other_roles: of a prior: what it may serve as instead; the method has other stages then (`Stage.for_role`).
        capture: of a folder: it holds posed images, of which only those are copied that it names.
        stored_as: what it is called in the run's folder, where methods that share stages call it by different names;
            empty: its name.
    """

    name: str
    kind: Literal["text", "prior", "file", "folder"]
    help: str
    default: str | None = None
    longest: int = 1000
    suffixes: tuple[str, ...] = ()
    role: str | None = None
    other_roles: tuple[str, ...] = ()
    capture: bool = False
    stored_as: str = ""

    @property
    def place(self) -> str:
        """Where it lies in a run's folder; a file has its own ending behind that."""
        return INPUT_FILES[self.kind].format(name=self.stored_as or self.name)


@dataclass(frozen=True)
class Stage:
    """One step of a method.

    Attributes:
        name: section of `params.yaml` and output folder in the run.
        inputs: the stage's input -> the method's input or the earlier stage that it is.
        module: its Python module, `stages.NAME` unless said otherwise.
        retries: how often to try again after a crash (never after an error that a person must put right).
        time_limit_s: the stage is stopped after so many seconds; 0 means no limit.
        gpu: whether it takes a whole GPU when the run is on one.
        optional: the method goes without it unless it is asked for (`--set NAME=on`).
        on_with: of an optional stage: a preset with which it is there unless it is switched off (`--set NAME=off`).
        brings: of an optional stage: others that come with it.
        otherwise: of a stage that may be left out: the earlier stage, or the method's input, that takes its place for
            those behind it; empty: none can.
        brought_by: inputs of the method; the method goes without the stage unless one of them is given.
        never_otherwise: inputs of this stage that it goes without where their source is left out, whatever takes the
            source's place for others.
        only_kinds: values that the stage's parameter `kind` may have here, where stages behind it take no other; empty:
            all.
        for_role: of an input that takes priors of several roles: the role that the stage is for; empty: for all.
    """

    name: str
    inputs: dict[str, str]
    module: str = ""
    retries: int = 1
    time_limit_s: float = 0
    gpu: bool = False
    optional: bool = False
    on_with: str = ""
    brings: tuple[str, ...] = ()
    otherwise: str = ""
    brought_by: tuple[str, ...] = ()
    never_otherwise: tuple[str, ...] = ()
    for_role: str = ""
    only_kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.module:
            object.__setattr__(self, "module", f"stages.{self.name}")

    @property
    def brought_with(self) -> str:
        """What a person gives to have a stage that the method goes without otherwise; empty: it is always there."""
        if self.for_role:
            return f"a --prior of role {self.for_role}"
        options = " or ".join(f"--{name.replace('_', '-')}" for name in self.brought_by)
        switch = f"--set {self.name}=on" if self.optional else ""
        return options or (f"the {self.on_with} preset or {switch}" if self.on_with else switch)

    def load(self) -> ModuleType:
        """The stage's module; its top level imports light things only."""
        return importlib.import_module(self.module)


@dataclass(frozen=True)
class Method:
    """A method: what it takes and how its stages follow from one another.

    Attributes:
        name: on the command line, e.g. `latent-nerf`.
        summary: one line.
        presets: preset -> stage -> parameters, over those of the stage's own `PRESETS`.
        one_of: inputs of which a run needs at least one; empty: each input says for itself whether it is needed.
        apart: inputs of which a run takes at most one.
        example: one full command line that works, for help and messages.
    """

    name: str
    summary: str
    inputs: tuple[Input, ...]
    stages: tuple[Stage, ...]
    presets: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    example: str = ""
    one_of: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {i.name for i in self.inputs}
        for stage in self.stages:
            for source in stage.inputs.values():
                if source not in known:
                    raise ValueError(f"method {self.name}, stage {stage.name}: nothing before it is called {source!r}")
            for other in (*stage.brings, *filter(None, [stage.otherwise])):
                if other not in {s.name for s in self.stages} | {
                    i.name for i in self.inputs if other == stage.otherwise
                }:
                    raise ValueError(f"method {self.name}, stage {stage.name}: there is no stage {other!r}")
            if stage.name in known:
                raise ValueError(f"method {self.name}: two things are called {stage.name!r}")
            known.add(stage.name)

    def optional_stages(self) -> list[str]:
        """Names of the stages that it goes without unless they are asked for."""
        return [s.name for s in self.stages if s.optional]

    def stages_with(self, preset: str) -> set[str]:
        """Names of the optional stages that are there with a preset unless they are switched off."""
        return {s.name for s in self.stages if s.on_with and s.on_with == preset}

    def stages_brought_by(self, given: Collection[str]) -> set[str]:
        """Names of the stages that some of the method's inputs bring with them."""
        return {s.name for s in self.stages if set(s.brought_by) & set(given)}

    def role_input(self) -> Input | None:
        """The input whose prior's role decides about stages; None if there is none."""
        return next((i for i in self.inputs if i.other_roles), None)

    def stages_for(self, *roles: str) -> set[str]:
        """Names of the stages that are for one of these roles of the prior alone."""
        return {s.name for s in self.stages if s.for_role and s.for_role in roles}

    def with_stages(self, asked: Collection[str]) -> "Method":
        """The method as one run has it: of its stages that may be left out only those named, and what they bring.

        Of stages that are for one role of a prior, those of the input's first role stay if none is named. Inputs that
        nothing takes any more are left out, too.
        """
        deciding = self.role_input()
        named = {s.for_role for s in self.stages if s.name in asked} - {""}
        roles = named or {(deciding.role or "") if deciding else ""}
        kept = {
            s.name
            for s in self.stages
            if s.name in asked or not (s.optional or s.brought_by or (s.for_role and s.for_role not in roles))
        }
        while more := {b for s in self.stages if s.name in kept for b in s.brings} - kept:
            kept |= more
        instead = {s.name: s.otherwise for s in self.stages if s.name not in kept}

        def sources(stage: Stage) -> dict[str, str]:
            found: dict[str, str] = {}
            for key, name in stage.inputs.items():
                while name in instead:
                    name = "" if key in stage.never_otherwise else instead[name]
                found |= {key: name} if name else {}
            return found

        stages = tuple(
            replace(
                s,
                inputs=sources(s),
                optional=False,
                otherwise=s.otherwise if s.otherwise in kept else "",
            )
            for s in self.stages
            if s.name in kept
        )
        fed = {v for s in self.stages for v in (*s.inputs.values(), s.otherwise)}
        taken = fed - {v for s in stages for v in s.inputs.values()}
        return replace(self, stages=stages, inputs=tuple(i for i in self.inputs if i.name not in taken))

    def stage(self, name: str) -> Stage:
        """The stage of this name (KeyError without one)."""
        return {s.name: s for s in self.stages}[name]

    def needs(self, stage: Stage) -> list[str]:
        """Names of the stages whose output a stage takes, in the method's order."""
        return [s.name for s in self.stages if s.name in stage.inputs.values()]

    def behind(self, name: str) -> set[str]:
        """Names of all stages that a stage's output reaches."""
        reached = {name}
        for stage in self.stages:
            if reached & set(stage.inputs.values()):
                reached.add(stage.name)
        return reached - {name}
