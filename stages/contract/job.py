"""What a stage is handed besides its parameters: its inputs, its folders, its device, and ways to report."""

import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from prior3d.diffusion.embedded import embedded_prior
from prior3d.errors import Prior3dError
from prior3d.files import write_whole
from prior3d.limits import read_json
from prior3d.seals import json_is_whole, sealed_json
from stages.contract.curves import LossCurve

if TYPE_CHECKING:
    import torch

CHECKPOINT_EVERY_S = 5.0
EVENTS = "PRIOR3D_EVENTS"  # set where a program reads progress, which then comes as JSON behind `@@`
PROGRESS_EVERY_S = 0.25
STOP_GRACE_S = 15


class Stopped(Exception):
    """The stage was asked to stop, has saved its checkpoint, and left."""


@dataclass
class Job:
    """One execution of one stage.

    Attributes:
        name: the stage's name in the run, also its output folder.
        run_folder: the run's folder (absolute).
        inputs: absolute path of every input by name.
        work: folder for checkpoints, named by a digest of parameters, inputs and code: no state is resumed wrongly.
        settings: the contents of the untracked `local.yaml`: device, and where priors lie on this machine.
        checkpoint_every_s: seconds between two checkpoints.
    """

    name: str
    run_folder: Path
    inputs: dict[str, Path]
    work: Path
    settings: dict[str, Any] = field(default_factory=dict)
    checkpoint_every_s: float = field(default_factory=lambda: CHECKPOINT_EVERY_S)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    losses: LossCurve = field(default_factory=LossCurve)
    stopping: bool = False
    _device: "torch.device | None" = None
    _started: float = field(default_factory=time.monotonic)
    _last_checkpoint: float = field(default_factory=time.monotonic)
    _last_progress: float = 0.0
    _seconds_before: float = 0.0

    def __post_init__(self) -> None:
        noted = self.work / "elapsed.json"
        if not noted.is_file():
            return
        try:
            elapsed = read_json(noted)
            if json_is_whole(elapsed) is False:
                raise ValueError("its digest is another")
            self._seconds_before = float(elapsed["seconds"])
            self.losses = LossCurve.from_state(elapsed["losses"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise Prior3dError(
                f"stage {self.name}: {noted} is damaged ({type(error).__name__}), and with it the loss curve's "
                f"beginning; delete the folder {self.work.name} to begin the stage again"
            ) from None

    @property
    def out(self) -> Path:
        """The folder to write the artifact into; it becomes the stage's output folder when the stage succeeded."""
        return self.work / "out.partial"

    @property
    def device(self) -> "torch.device":
        """The device named in `local.yaml` (`auto` without one)."""
        if self._device is None:
            from prior3d.devices import choose_device  # torch: a second that stages without tensors need not wait

            self._device = choose_device(str(self.settings.get("device", "auto")))
        return self._device

    @property
    def prompt(self) -> str:
        """The text of the input named `prompt`."""
        if "prompt" not in self.inputs:
            raise Prior3dError(f"stage {self.name}: it has no input named 'prompt'; declare it in INPUTS")
        return self.inputs["prompt"].read_text(encoding="utf-8").strip()

    def prior(self, name: str = "prior") -> Path:
        """The folder of the diffusers prior that the input file `name` asks for."""
        wanted = read_json(self.inputs[name])["name"]
        given = (self.settings.get("priors") or {}).get(wanted)
        if given is None:
            return embedded_prior(wanted)
        folder = Path(given).expanduser()
        if not any((folder / file).is_file() for file in ("model_index.json", "config.json")):
            raise Prior3dError(
                f"prior {wanted!r}: {folder} (from {self.run_folder.name}/local.yaml) holds no model_index.json; "
                "put the prior back there, or run the same command with --prior PATH"
            )
        return folder

    def progress(
        self, step: int, total: int, *, loss: float | None = None, preview: Path | None = None, text: str = ""
    ) -> None:
        """Print one progress line, at most four a second; the last step and previews are always printed."""
        if loss is not None:
            self.losses.take(int(step), int(total), float(loss))
            if self.stopping:  # the body saves its checkpoint next, and may not ask whether one is due
                self.note_elapsed()
        now = time.monotonic()
        if now - self._last_progress < PROGRESS_EVERY_S and step < total and preview is None:
            return
        self._last_progress = now
        event: dict[str, Any] = {"step": int(step), "total": int(total)}
        if loss is not None:
            event["loss"] = float(loss)
        if preview is not None:
            event["preview"] = os.path.relpath(preview, self.run_folder)
        if text:
            event["text"] = text
        sys.stdout.write(f"@@{json.dumps(event)}\n" if os.environ.get(EVENTS) else self._line(event))
        sys.stdout.flush()

    def _line(self, event: dict[str, Any]) -> str:
        """A progress event for people, who started the stage by hand or by `dvc repro`."""
        loss = f", loss {event['loss']:.4g}" if "loss" in event else ""
        text = f"  {event['text']}" if "text" in event else ""
        return f"{self.name}  {event['step']:,}/{event['total']:,}{loss}{text}\n"

    def metric(self, name: str, value: float, unit: str = "", n: int = 1, higher_is_better: bool | None = None) -> None:
        """Record a measured number: a function of parameters and inputs (time and memory are added apart)."""
        entry: dict[str, Any] = {"value": float(value), "unit": unit, "n": int(n)}
        if higher_is_better is not None:
            entry["higher_is_better"] = higher_is_better
        self.metrics[name] = entry

    def checkpoint_due(self) -> bool:
        """Whether to save now: enough time since the last save, or a stop was asked for."""
        now = time.monotonic()
        due = self.stopping or now - self._last_checkpoint >= self.checkpoint_every_s
        if due:
            self._last_checkpoint = now
            self.note_elapsed()
        return due

    def note_elapsed(self) -> None:
        """Keep working time and losses so far, for the next sitting. They may be ahead of the checkpoint, not behind:
        steps that are taken again leave the curve as it is, steps that it has not seen would be missing.
        """
        elapsed = {"seconds": self.seconds(), "losses": self.losses.state()}
        write_whole(self.work / "elapsed.json", sealed_json(elapsed))

    def seconds(self) -> float:
        """Working time of this stage so far, with that before interruptions, to the last checkpoint."""
        return self._seconds_before + time.monotonic() - self._started

    def stop_soon(self, *_: object) -> None:
        """Signal handler: ask the stage to save and leave; a stage that does not is ended after a grace time."""
        self.stopping = True
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(STOP_GRACE_S)


def work_digest(
    params: dict[str, Any], inputs: dict[str, Path], code: str, ignored: frozenset[str] = frozenset()
) -> str:
    """A digest of everything that determines a stage's result: names a checkpoint folder.

    Files called as one of `ignored` do not count.
    """
    digest = hashlib.sha256(yaml.safe_dump([params, code]).encode())
    for name, path in sorted(inputs.items()):
        digest.update(name.encode())
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        files = [file for file in files if file.name not in ignored]
        for file in files:
            digest.update(f"{file.relative_to(path) if path.is_dir() else ''}:{file.stat().st_size}:".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
