"""A frozen text-to-image prior: a text, a camera and noisy latents in, guided noise out."""

from pathlib import Path

import torch
from torch import Tensor

from prior3d.diffusion.latent_diffusion import LatentDiffusion, load_latent_diffusion
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.scheduling import descending_timesteps


class TextToImagePrior(DiffusionPrior):
    """The networks of a StableDiffusionPipeline folder; `predict` is the latent diffusion model's own."""

    def __init__(self, diffusion: LatentDiffusion) -> None:
        """Take a model whose UNet sees noisy latents alone."""
        super().__init__(diffusion)
        self.predict = diffusion.predict

    @torch.no_grad()
    def denoise(
        self,
        noisy: Tensor,
        timesteps: list[int],
        text: Tensor,
        null_text: Tensor,
        guidance_scale: float,
        camera_embedding: Tensor | None = None,
    ) -> Tensor:
        """Run deterministic DDIM down a list of timesteps to clean latents.

        Args:
            noisy: [views, channels, h, w], at the noise level of `timesteps[0]`.
            timesteps: descending; the last prediction is of the clean latents.
            text: as in `predict`, like the three that follow.
            null_text: [views or 1, tokens, width].
            guidance_scale: 1 means none.
            camera_embedding: [views, CAMERA_DIM] or None.

        Raises:
            Prior3dError: there is no timestep.
        """

        def predict(latents: Tensor, at: Tensor) -> Tensor:
            return self.predict(latents, at, text, null_text, guidance_scale, camera_embedding)

        return self.diffusion.denoise(noisy, timesteps, predict)

    @torch.no_grad()
    def sample(
        self,
        prompts: list[str],
        camera_embedding: Tensor | None = None,
        *,
        guidance_scale: float = 6.0,
        num_inference_steps: int = 25,
        generator: torch.Generator,
        negative_prompt: str = "",
    ) -> Tensor:
        """Draw one image a prompt: [prompts, 3, image_size, image_size] in [0, 1], repeatable from the generator.

        Raises:
            Prior3dError: so many steps do not fit.
        """
        noise = self.diffusion.draw_noise(len(prompts), generator)
        timesteps = descending_timesteps(self.n_timesteps - 1, num_inference_steps)
        text, null_text = self.embed(prompts), self.embed([negative_prompt])
        return self.decode(self.denoise(noise, timesteps, text, null_text, guidance_scale, camera_embedding))


def load_text_to_image(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> TextToImagePrior:
    """Load a frozen text-to-image prior (SD 1.x or 2.x layout, epsilon- or v-prediction, of any width).

    Args:
        folder: a diffusers pipeline folder with safetensors weights; nothing is ever fetched or unpickled.
        device: where the networks go.
        dtype: the networks' precision; what the prior takes and returns is float32 whatever it is.

    Raises:
        Prior3dError: as `check_prior_folder`, and if a weight is missing, misshapen, superfluous or not finite.
    """
    return TextToImagePrior(load_latent_diffusion(Path(folder), "text_to_image", device, dtype))
