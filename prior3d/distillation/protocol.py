"""What score distillation needs to know of views, and of a prior that is asked about them."""

from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.guidance import Prediction
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.seeds import Seeds

Batch = TypeVar("Batch")


@runtime_checkable
class Views(Protocol[Batch]):
    """Where the views of a step come from, and what the prior predicts for them."""

    @property
    def prior(self) -> DiffusionPrior:
        """The frozen prior, of any role."""
        ...

    def sample(self, seeds: Seeds) -> Batch:
        """Draw the views of one step."""
        ...

    def cameras(self, batch: Batch, size: int) -> Cameras:
        """Their cameras, with `size` pixels along the shorter side, on the prior's device."""
        ...

    def predict(
        self, batch: Batch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The prior's guided noise."""
        ...


@runtime_checkable
class PromptedViews(Views[Batch], Protocol[Batch]):
    """Views that a prior can be asked about with their prompts and without: what all losses but SDS need."""

    def parts(
        self, batch: Batch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Prediction:
        """The noise with guidance, for the prompts alone, and without a prompt."""
        ...

    def without_prompt(
        self, batch: Batch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The noise without a prompt, for the price of one call without guidance."""
        ...

    def output(
        self, batch: Batch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The U-Net's own output for the prompts without guidance; differentiable."""
        ...

    def pose(self, batch: Batch) -> Float[Tensor, "views 16"]:
        """The cameras as `camera_embedding` writes them, whether the prior takes them or not."""
        ...
