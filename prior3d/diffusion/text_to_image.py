"""A frozen text-to-image prior: a text, a camera and noisy latents in, guided noise out."""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.guidance import Conditioning, Prediction
from prior3d.diffusion.latent_diffusion import load_latent_diffusion
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.scheduling import descending_timesteps


class TextToImagePrior(DiffusionPrior):
    """The networks of a StableDiffusionPipeline folder."""

    def predict(
        self, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"], conditioning: Conditioning
    ) -> Float[Tensor, "views channels h w"]:
        """Predict the noise with guidance on the text, see `LatentDiffusion.predict`."""
        return self.diffusion.predict(noisy, timesteps, conditioning)

    @torch.no_grad()
    def parts(
        self, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"], conditioning: Conditioning
    ) -> Prediction:
        """What guidance is made of: the noise with guidance, for the texts alone, and for the null text."""
        guided, conditional, unconditional = (
            self.diffusion.to_noise(noisy, output, timesteps)
            for output in self.diffusion.outputs(noisy, timesteps, conditioning)
        )
        return Prediction(guided, conditional, unconditional)

    @torch.no_grad()
    def denoise(
        self, noisy: Float[Tensor, "views channels h w"], timesteps: list[int], conditioning: Conditioning
    ) -> Float[Tensor, "views channels h w"]:
        """Run deterministic DDIM down a list of timesteps to clean latents.

        Args:
            noisy: at the noise level of `timesteps[0]`.
            timesteps: descending; the last prediction is of the clean latents.
            conditioning: texts and cameras.

        Raises:
            Prior3dError: there is no timestep.
        """
        return self.diffusion.denoise(noisy, timesteps, lambda latents, at: self.predict(latents, at, conditioning))

    @torch.no_grad()
    def sample(
        self,
        prompts: list[str],
        camera: Float[Tensor, "views 16"] | None = None,
        *,
        guidance_scale: float = 6.0,
        num_inference_steps: int = 25,
        generator: torch.Generator,
        negative_prompt: str = "",
    ) -> Float[Tensor, "prompts 3 {self.image_size} {self.image_size}"]:
        """Draw one image a prompt, in [0, 1], repeatable from the generator.

        Raises:
            Prior3dError: so many steps do not fit.
        """
        noise = self.diffusion.draw_noise(len(prompts), generator)
        timesteps = descending_timesteps(self.n_timesteps - 1, num_inference_steps)
        asked = self.conditioning(prompts, negative_prompt, guidance_scale, camera)
        return self.decode(self.denoise(noise, timesteps, asked))


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
