"""The check that a field shows an object, on the way and at the end of the stage that makes it.

It changes no result, it only lets it through; so its code is in no stage's key.
"""

import torch
from torch import Tensor

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.fields import RadianceField
from prior3d.fields.protocol import DrawsItself
from prior3d.losses.regularisers import opacity_entropy_bits
from prior3d.rendering import render_without_gradient
from prior3d.settings.refresh import ObjectCheckSettings
from stages.contract.job import Job

SMALLEST_COVERAGE, LARGEST_COVERAGE = 0.005, 0.75  # of the pixels of the views; toy objects cover 5 to 40 %
N_LOOKS = 4  # the field is looked at before the first step and after each quarter of them
CHECKED_SIZE, GLANCED_SIZE, N_CHECKED, N_GLANCED = 32, 16, 8, 4  # pixels and views, at the end and on the way


class ObjectCheck:
    """Looks whether a field shows an object, and neither nothing nor a full frame.

    It looks from the cameras of evaluation (`ring`), not from those that a method draws: these may well be filled by an
    object. A start that fills the views, or two looks in a row at which the field does, or is empty, end the stage: it
    would hardly become an object. Nothing random is drawn.

    Args:
        job: told about coverage and fogginess, or why the stage ends.
        field: what is looked at; a field or splats.
        n_samples: intervals along a ray of a field.
        settings: whether a person takes the field as it is.
        against_empty: which parameters to turn if nothing is there.
        against_full: and if the views are full.
    """

    def __init__(
        self,
        job: Job,
        field: RadianceField | DrawsItself,
        n_samples: int,
        settings: ObjectCheckSettings,
        against_empty: str,
        against_full: str,
    ) -> None:
        self.job, self.field, self.n_samples, self.settings = job, field, n_samples, settings
        self.advice = {"is empty": against_empty, "fills the views instead of being an object": against_full}
        self.earlier = ""

    def before(self, step: int, total: int) -> None:
        """Look before a step, if it is time to (raises Prior3dError if there is no object)."""
        if self.settings.accept or step % max(total // N_LOOKS, 1) or (step > 0 and total < N_LOOKS):
            return
        covered = (self._opacity(N_GLANCED, GLANCED_SIZE) > 0.5).float().mean().item()
        wrong = self._wrong(covered)
        if wrong and (wrong == self.earlier if step else covered > LARGEST_COVERAGE):
            raise Prior3dError(f"{self._told(wrong, covered)} (at step {step} of {total})")
        self.earlier = wrong

    def at_end(self) -> None:
        """Record coverage and fogginess (raises Prior3dError if there is no object)."""
        opacity = self._opacity(N_CHECKED, CHECKED_SIZE)
        covered = (opacity > 0.5).float().mean().item()
        if wrong := self._wrong(covered):
            if not self.settings.accept:
                raise Prior3dError(self._told(wrong, covered))
            print(f"{self.job.name}: the field {wrong} ({covered:.1%} of the pixels covered)", flush=True)  # noqa: T201
        self.job.metric("coverage", covered, "of pixels", n=len(opacity))
        entropy = opacity_entropy_bits(opacity).item()
        self.job.metric("opacity_entropy", entropy, "bits", n=opacity.numel(), higher_is_better=False)

    def _opacity(self, n_views: int, size: int) -> Tensor:
        cameras = orbit_cameras(ring(n_views), size, size).to(next(self.field.parameters()).device)
        if isinstance(self.field, DrawsItself):
            return self.field.render_views(cameras, torch.ones(3, device=cameras.c2w.device))[1]
        return render_without_gradient(self.field, cameras, self.n_samples)[1]

    def _wrong(self, covered: float) -> str:
        """What is wrong with a field that covers so many of the pixels; empty: nothing."""
        empty, full = self.advice
        return empty if covered < SMALLEST_COVERAGE else full if covered > LARGEST_COVERAGE else ""

    def _told(self, wrong: str, covered: float) -> str:
        return (
            f"{self.job.name}: the field {wrong} ({covered:.1%} of the pixels covered); {self.advice[wrong]}; "
            f"or keep it: {self.job.name}.check.accept=true"
        )
