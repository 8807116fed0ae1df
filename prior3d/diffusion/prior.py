"""What the priors of all roles have in common."""

from torch import Tensor

from prior3d.diffusion.latent_diffusion import LatentDiffusion


class DiffusionPrior:
    """A latent diffusion model in a role; what every role shares with the model is passed on here, and only here.

    Attributes:
        diffusion: the model. Its attributes and methods below are described there.
    """

    def __init__(self, diffusion: LatentDiffusion) -> None:
        """Take the model as it is."""
        self.diffusion = diffusion
        self.device, self.camera_conditioned = diffusion.device, diffusion.camera_conditioned
        self.image_size, self.latent_size = diffusion.image_size, diffusion.latent_size
        self.latent_channels, self.scaling_factor = diffusion.latent_channels, diffusion.scaling_factor
        self.alphas_cumprod, self.n_timesteps = diffusion.alphas_cumprod, diffusion.n_timesteps
        self.encode, self.decode, self.add_noise = diffusion.encode, diffusion.decode, diffusion.add_noise

    def embed(self, prompts: list[str]) -> Tensor:
        """Encode prompts, each once: [prompts, tokens, width], float32."""
        return self.diffusion.prompts.embed(prompts)

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of a prompt that the prior's vocabulary lacks."""
        return self.diffusion.prompts.unknown_words(prompt)

    def free_text_encoder(self) -> None:
        """Drop the text encoder's memory; prompts embedded so far stay available."""
        self.diffusion.prompts.free()
