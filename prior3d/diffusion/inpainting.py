"""A frozen inpainting prior: images with a hole, a text and a camera in, images with the hole filled out.

Its UNet takes nine channels in diffusers' order: noisy latents, the mask, latents of the image with its hole grey.
"""

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.diffusion.text_to_image import TextToImagePrior, falling_timesteps

GREY = 0.5  # what a hole shows: 0 in the -1..1 of StableDiffusionInpaintPipeline


class InpaintingPrior:
    """The networks of a StableDiffusionInpaintPipeline folder.

    Attributes:
        diffusion: its networks, with `encode`, `decode`, `embed`, `unknown_words`, `free_text_encoder`, `image_size`.
    """

    def __init__(self, diffusion: TextToImagePrior):
        """Take networks whose UNet has five channels beyond the latents'."""
        self.diffusion = diffusion

    @torch.no_grad()
    def condition(self, images: Tensor, masks: Tensor) -> Tensor:
        """What the UNet sees behind the noisy latents: [views, 1 + channels, h, w].

        Args:
            images: [views, 3, height, width] in [0, 1]; what they show in the hole has no influence.
            masks: [views, 1, height, width], the hole where at least one half.
        """
        hole = masks >= 0.5
        known = self.diffusion.encode(torch.where(hole, GREY, images))
        # nearest neighbour, as the pipeline has it: a latent is a hole if its first pixel is
        return torch.cat([functional.interpolate(hole.float(), known.shape[-2:]), known], dim=1)

    @torch.no_grad()
    def inpaint(
        self,
        images: Tensor,
        masks: Tensor,
        texts: list[str],
        camera: Tensor | None = None,
        *,
        guidance_scale: float = 3.0,
        n_steps: int = 25,
        generator: torch.Generator,
        negative_prompt: str = "",
        keep_known: bool = True,
        start: Tensor | None = None,
        noise_level: float = 1.0,
    ) -> Tensor:
        """Fill holes from noise with DDIM, or from images that already show about what is wanted (SDEdit).

        Args:
            images: [views, 3, image_size, image_size] in [0, 1].
            masks: [views, 1, image_size, image_size], the hole where at least one half.
            texts: one a view, of the whole image.
            camera: [views, CAMERA_DIM] of `camera_embedding`; None: "no camera". Only if the prior takes it.
            guidance_scale: on the text; 1 means none.
            n_steps: network calls.
            generator: draws the noise.
            negative_prompt: what guidance moves away from.
            keep_known: paste the pixels outside the hole back; otherwise they come through the decoder, as all others.
            start: [views, 3, image_size, image_size], images that are noised in place of beginning from noise alone
                (Meng et al. 2022); whole ones, the hole included. None: noise.
            noise_level: to which `start` is noised, a share of the prior's noise levels in (0, 1].

        Returns:
            [views, 3, image_size, image_size] in [0, 1]. No gradient passes.
        """
        diffusion, device = self.diffusion, self.diffusion.device
        images, masks = images.to(device), masks.to(device)
        condition = self.condition(images, masks)
        shape = (len(images), diffusion.latent_channels, *condition.shape[-2:])
        noise = torch.randn(shape, generator=generator, device=generator.device).to(device)
        first = min(max(round(noise_level * diffusion.n_timesteps), 1), diffusion.n_timesteps - 1)
        if start is not None:
            at = torch.full((len(images),), first, device=device)
            noise = diffusion.add_noise(diffusion.encode(start.to(device)), noise, at)
        timesteps = falling_timesteps(first if start is not None else diffusion.n_timesteps - 1, n_steps)
        text, null_text = diffusion.embed(texts), diffusion.embed([negative_prompt])
        filled = diffusion.decode(
            diffusion.denoise(noise, timesteps, text, null_text, guidance_scale, camera, condition)
        )
        return torch.where(masks >= 0.5, filled, images) if keep_known else filled
