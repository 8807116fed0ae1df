"""A frozen inpainting prior: images with a hole, a text and a camera in, images with the hole filled out.

Its UNet takes nine channels in diffusers' order: noisy latents, the mask, latents of the image with its hole grey.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.latent_diffusion import load_latent_diffusion
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.scheduling import descending_timesteps, timestep_of_strength

GREY = 0.5  # what a hole shows: 0 in the -1..1 of StableDiffusionInpaintPipeline


@dataclass(frozen=True)
class InpaintSettings:
    """How holes are filled.

    Attributes:
        guidance_scale: on the text; 1 means none.
        num_inference_steps: network calls.
        strength: in (0, 1]; below 1, denoising starts from the images, noised so far (SDEdit, Meng et al. 2022),
            and not from noise alone.
        negative_prompt: what guidance moves away from.
        keep_known: paste the pixels outside the hole back; otherwise they come through the decoder, as all others.
    """

    guidance_scale: float = 3.0
    num_inference_steps: int = 25
    strength: float = 1.0
    negative_prompt: str = ""
    keep_known: bool = True


class InpaintingPrior(DiffusionPrior):
    """The networks of a StableDiffusionInpaintPipeline folder: a UNet with five channels beyond the latents'."""

    @torch.no_grad()
    def condition(
        self, images: Float[Tensor, "views 3 height width"], masks: Float[Tensor, "views 1 height width"]
    ) -> Float[Tensor, "views further h w"]:
        """What the UNet sees behind the noisy latents: the hole, and latents of the rest.

        Args:
            images: in [0, 1]; what they show in the hole has no influence.
            masks: the hole where at least one half.
        """
        hole = masks >= 0.5
        known = self.encode(torch.where(hole, GREY, images))
        # nearest neighbour, as the pipeline has it: a latent is a hole if its first pixel is
        return torch.cat([functional.interpolate(hole.float(), known.shape[-2:]), known], dim=1)

    @torch.no_grad()
    def inpaint(
        self,
        images: Float[Tensor, "views 3 height width"],
        masks: Float[Tensor, "views 1 height width"],
        prompts: list[str],
        settings: InpaintSettings,
        camera: Float[Tensor, "views 16"] | None = None,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "views 3 height width"]:
        """Fill holes with DDIM, from noise or from what the images show there.

        Args:
            images: in [0, 1], best at the prior's image_size.
            masks: the hole where at least one half.
            prompts: one a view, of the whole image.
            settings: guidance, steps and strength.
            camera: of `camera_embedding`; None: "no camera". Only if the prior takes it.
            generator: draws the noise.

        Returns:
            images in [0, 1]. No gradient passes.

        Raises:
            Prior3dError: so many steps do not fit below the timestep of this strength.
        """
        images, masks = images.to(self.device), masks.to(self.device)
        condition = self.condition(images, masks)
        noisy = self.diffusion.draw_noise(len(images), generator, (condition.shape[2], condition.shape[3]))
        first = timestep_of_strength(settings.strength, self.n_timesteps)
        if settings.strength < 1:
            at = torch.full((len(images),), first, device=self.device)
            noisy = self.add_noise(self.encode(images), noisy, at)
        timesteps = descending_timesteps(first, settings.num_inference_steps)
        asked = self.conditioning(prompts, settings.negative_prompt, settings.guidance_scale, camera)
        clean = self.diffusion.denoise(
            noisy, timesteps, lambda latents, at: self.diffusion.predict(latents, at, asked, condition)
        )
        filled = self.decode(clean)
        return torch.where(masks >= 0.5, filled, images) if settings.keep_known else filled


def load_inpainting(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> InpaintingPrior:
    """Load a frozen inpainting prior: a StableDiffusionInpaintPipeline folder. All else as `load_text_to_image`."""
    return InpaintingPrior(load_latent_diffusion(Path(folder), "inpainting", device, dtype))
