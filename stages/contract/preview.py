"""What a stage shows while it runs: a row of views, and which words its prior does not know."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from torch import Tensor

from prior3d.diffusion.known_words import KINDS, UnknownWord, told_of
from prior3d.limits import read_json
from stages.contract.job import Job

PREVIEW_EVERY_S = 5.0
SHORT_S = 0.5  # previews that take longer come as much more rarely: at most a tenth of the time is theirs


def warn_of_unknown_words(job: Job, words: list[UnknownWord], total: int) -> None:
    """Say which words of a prompt the prior has never seen, and what is read for them, as a warning and a metric."""
    job.metric("unknown_words", len(words), "words", higher_is_better=False)
    if words:
        instead = _known_instead(job) if any(word.read_as is None for word in words) else ""
        job.progress(0, total, text=f"warning: {told_of(words)}{instead}")


def _known_instead(job: Job) -> str:
    """What a toy prior knows; other priors with so few words are somebody's own."""
    name = str(read_json(job.inputs["prior"]).get("name", "")) if "prior" in job.inputs else ""
    if not name.startswith("toy"):
        return ""
    kinds = ", ".join(sorted(KINDS))
    return f"; it knows {kinds}, and their colours and patterns (prior3d priors show {name})"


class Preview:
    """A row of views, written now and then for whoever waits."""

    def __init__(self, job: Job, images: Callable[[], Tensor]) -> None:
        """`images` makes what is shown: [n, 3, height, width] in [0, 1]."""
        self.job, self.images, self.last, self.took = job, images, time.monotonic(), 0.0
        self.writing: Future[Path] | None = None
        self._writer = ThreadPoolExecutor(1)

    def perhaps(self, step: int, total: int) -> None:
        """Write the image if the last one is old enough; one that a GPU still renders is written beside the steps."""
        if self.writing is not None:
            if not self.writing.done():
                return
            self.job.progress(step, total, preview=self.writing.result())
            self.writing, self.last = None, time.monotonic()
        began = time.monotonic()
        if began - self.last < PREVIEW_EVERY_S * max(1.0, self.took / SHORT_S):
            return
        images, path = self.images(), self.job.work / "preview.png"
        if images.device.type == "cpu":
            self.job.progress(step, total, preview=write_row(path, images))
            self.last = time.monotonic()
            self.took = self.last - began
        else:
            self.writing = self._writer.submit(write_row, path, images)


def write_row(path: Path, images: Tensor) -> Path:
    """Write images [n, 3, h, w] in [0, 1] side by side as one PNG, enlarged to at least 128 pixels each."""
    pixels = (images.detach().cpu().clamp(0, 1) * 255).round().byte()
    row = pixels.permute(2, 0, 3, 1).reshape(pixels.shape[2], -1, 3).numpy()
    factor = max(1, -(-128 // pixels.shape[2]))
    picture = Image.fromarray(row)
    temporary = path.with_name(f".{path.name}.tmp.png")
    picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC).save(temporary)
    temporary.replace(path)
    return path
