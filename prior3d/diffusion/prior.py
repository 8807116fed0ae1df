"""What the priors of all roles have in common."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.known_words import UnknownWord
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.scheduling import Schedule
from prior3d.errors import Prior3dError
from prior3d.settings import Engine


class DiffusionPrior:
    """A latent diffusion model in a role. What every role shares with the model is passed on here, and only here.

    Attributes:
        diffusion: the model.
        joint: whether the views of a call are one set, which is drawn together: they have one noise level.
    """

    joint = False

    def __init__(self, diffusion: LatentDiffusion) -> None:
        """Take the model as it is."""
        self.diffusion = diffusion

    def use_engine(self, engine: Engine) -> None:
        """Say what runs the UNet, see `LatentDiffusion.use_engine` (raises Prior3dError, for joint views too)."""
        if engine != "torch" and self.joint:
            raise Prior3dError(
                f"engine {engine} runs UNets of single views, and this prior draws joint ones; set engine=torch"
            )
        self.diffusion.use_engine(engine)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.diffusion.device

    @property
    def image_size(self) -> int:
        """Side of the square images that the prior was trained on, in pixels."""
        return self.diffusion.image_size

    @property
    def latent_size(self) -> int:
        """Side of their latents."""
        return self.diffusion.latent_size

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.diffusion.latent_channels

    @property
    def scaling_factor(self) -> float:
        """What the VAE's latents are multiplied by."""
        return self.diffusion.scaling_factor

    @property
    def has_sd_latents(self) -> bool:
        """Whether its latents are Stable Diffusion's."""
        return self.diffusion.has_sd_latents

    @property
    def camera_conditioned(self) -> bool:
        """Whether the UNet takes `camera_embedding`."""
        return self.diffusion.camera_conditioned

    @property
    def schedule(self) -> Schedule:
        """Of the noise, on the prior's device."""
        return self.diffusion.schedule

    @property
    def n_timesteps(self) -> int:
        """How many noise levels the UNet was trained on, usually 1000."""
        return self.diffusion.n_timesteps

    def encode(
        self, images: Float[Tensor, "views 3 height width"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "views channels h w"]:
        """Images to scaled latents, see `LatentDiffusion.encode`."""
        return self.diffusion.encode(images, generator)

    def decode(self, latents: Float[Tensor, "views channels h w"]) -> Float[Tensor, "views 3 height width"]:
        """Scaled latents to images, see `LatentDiffusion.decode`."""
        return self.diffusion.decode(latents)

    def add_noise(
        self,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """Diffuse latents forward to timesteps."""
        return self.diffusion.add_noise(latents, noise, timesteps)

    def embed(self, prompts: list[str]) -> Float[Tensor, "prompts tokens width"]:
        """Encode prompts, each once, float32."""
        return self.diffusion.prompts.embed(prompts)

    def conditioning(
        self,
        prompts: list[str],
        negative_prompt: str,
        guidance_scale: float,
        camera: Float[Tensor, "views 16"] | None = None,
    ) -> Conditioning:
        """Texts and cameras, ready for `predict`.

        Args:
            prompts: one a view, or one for all.
            negative_prompt: what guidance moves away from.
            guidance_scale: 1 is none.
            camera: of `camera_embedding`; None: "no camera". Only if the prior takes it.
        """
        return Conditioning(self.embed(prompts), self.embed([negative_prompt]), guidance_scale, camera)

    def unknown_words(self, prompt: str) -> list[UnknownWord]:
        """Words of a prompt that the prior's vocabulary lacks."""
        return self.diffusion.prompts.unknown_words(prompt)

    def free_text_encoder(self) -> None:
        """Drop the text encoder's memory; prompts embedded so far stay available."""
        self.diffusion.prompts.free()
