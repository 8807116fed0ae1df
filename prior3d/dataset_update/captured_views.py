"""The views of a capture for score distillation with an instruct prior, the comparison of Haque et al. 2023."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.dataset_update.edit_views import ViewEditor
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.instruct import InstructPrior
from prior3d.seeds import Seeds
from prior3d.settings.distillation import SdsSettings
from prior3d.settings.scene_edits import ViewEditSettings


@dataclass(frozen=True)
class CapturedView:
    """The view of one step: its index, and the photo as the prior's UNet sees it."""

    view: int
    condition: Float[Tensor, "1 channels h w"]


class CapturedViews:
    """Draws a view of a capture, and asks an instruct prior about its render.

    Args:
        editor: knows the prior, the instruction, and the size that images are shown at.
        dataset: the photos and their cameras.
    """

    def __init__(self, editor: ViewEditor, dataset: EditedViews) -> None:
        self.editor, self.dataset = editor, dataset
        self.text, self.null_text = editor.prior.embed([editor.instruction]), editor.prior.embed([""])

    @property
    def prior(self) -> InstructPrior:
        """The frozen prior."""
        return self.editor.prior

    def sample(self, seeds: Seeds) -> CapturedView:
        """Draw one view from the generator "views"."""
        view = int(torch.randint(self.dataset.n_views, (), generator=seeds.generator("views")))
        return CapturedView(view, self.prior.condition(self.editor.at_prior_size(self.dataset.original(view))))

    def cameras(self, batch: CapturedView, size: int) -> Cameras:
        """The view's camera, with as many pixels as edits have; `size` does not change a photo's shape."""
        return self.dataset.cameras[batch.view].resized(*self.editor.size)

    def predict(
        self, batch: CapturedView, noisy: Float[Tensor, "1 channels h w"], timesteps: Int[Tensor, " 1"]
    ) -> Float[Tensor, "1 channels h w"]:
        """The prior's noise, guided by the photo and the instruction."""
        settings = self.editor.settings
        asked = Conditioning(self.text, self.null_text, settings.guidance_scale, self.editor.camera(batch.view))
        return self.prior.predict(noisy, timesteps, asked, batch.condition, settings.image_guidance_scale)


def edit_distillation(settings: ViewEditSettings) -> SdsSettings:
    """Score distillation over the noise levels of edits."""
    low, high = settings.noise_range
    return SdsSettings(timestep_min=low, timestep_max=high, timestep_max_end=max(low, settings.noise_range_end or high))
