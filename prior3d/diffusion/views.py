"""A frozen view-conditioned diffusion model: posed pictures in, other views of the same thing out.

SparseFusion's prior (Zhou and Tulsiani 2023): an epipolar feature transformer says what the pictures tell about a
wanted view, pixel by pixel; a diffusion model conditioned on that draws the view's latents. The embedded one is small
and trained from nothing, because a condition that is aligned with the latents leaves little to find out.

Latents are always at the *scaled* level, as the UNet sees them; images are RGB in [0, 1]; all is float32 outside. The
object is about the origin, in a ball of `radius`; cameras are OpenGL.
"""

from typing import Any

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.epipolar import EpipolarTransformer
from prior3d.diffusion.text_to_image import falling_timesteps, noise_from_velocity
from prior3d.errors import Prior3dError

MOST_CONTEXTS = 10
QUERIES_AT_ONCE = 8  # bounds the memory of the epipolar transformer


class ViewsPrior:
    """The networks of one views folder.

    Attributes:
        latent_channels, latent_size, image_size: of one square view.
        scaling_factor: what the VAE's latents are multiplied by.
        radius: of the ball about the origin that holds the object, in world units.
        alphas_cumprod: [n_timesteps] cumulative alpha, on the prior's device.
    """

    def __init__(self, *, unet: Any, epipolar: EpipolarTransformer, vae: Any, scheduler: Any) -> None:
        """Take the four components; they are used as they are."""
        self.unet, self.epipolar, self.vae = unet, epipolar, vae
        self.device, self.dtype = unet.device, unet.dtype
        self.latent_channels: int = vae.config.latent_channels
        self.latent_size, self.image_size = epipolar.config.rays, epipolar.config.image_size
        self.scaling_factor: float = vae.config.scaling_factor
        self.radius: float = epipolar.config.radius
        self.prediction_type: str = scheduler.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise Prior3dError(
                f"prior: scheduler/ says prediction_type {self.prediction_type!r}; only epsilon and v_prediction "
                "are supported"
            )
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod.to(self.device, torch.float32)

    @property
    def n_timesteps(self) -> int:
        """How many noise levels the prior was trained on, usually 1000."""
        return len(self.alphas_cumprod)

    def features(self, images: Tensor, cameras: Cameras, query: Cameras) -> Tensor:
        """What the pictures tell about wanted views: [queries, channels, latent_size, latent_size], for `predict`.

        They are the transformer's feature map and the latents of its picture; the latter are beyond the paper, and let
        a small diffusion model begin with what regression knows.

        Args:
            images: [contexts, 3, image_size, image_size] in [0, 1], 1 to 10 of them, in any order.
            cameras: [contexts] theirs.
            query: [queries] the wanted ones.

        Raises:
            Prior3dError: none or too many pictures, of another size, not finite, or without a camera each.
        """
        return self.features_and_regression(images, cameras, query)[0]

    def regression(self, images: Tensor, cameras: Cameras, query: Cameras) -> Tensor:
        """The epipolar transformer's own picture of each wanted view, a blurred mean where the pictures leave doubt.

        Args and errors as in `features`; [queries, 3, image_size, image_size] in [0, 1].
        """
        return self.features_and_regression(images, cameras, query)[1]

    @torch.no_grad()
    def features_and_regression(self, images: Tensor, cameras: Cameras, query: Cameras) -> tuple[Tensor, Tensor]:
        """Both of one pass, which is most of the work of either."""
        self._check(images, cameras)
        given, cameras, query = images.to(self.device).float()[None], cameras.to(self.device), query.to(self.device)
        found = []
        for first in range(0, query.views, QUERIES_AT_ONCE):
            features, pictures = self.epipolar(given, cameras, query[slice(first, first + QUERIES_AT_ONCE)])
            found.append((torch.cat([features, self.encode(pictures)], dim=1), pictures))
        conditions, regressed = zip(*found, strict=True)
        return torch.cat(conditions), torch.cat(regressed)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images [views, 3, height, width] in [0, 1] to scaled latents; differentiable."""
        posterior = self.vae.encode((images * 2 - 1).to(self.dtype)).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        return latents.float() * self.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [views, channels, h, w] to images [views, 3, height, width] in [0, 1]; differentiable."""
        images = self.vae.decode((latents / self.scaling_factor).to(self.dtype)).sample.float()
        return (images / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def predict(self, noisy: Tensor, timesteps: Tensor, features: Tensor, guidance_scale: float = 1.0) -> Tensor:
        """Predict the noise with classifier-free guidance, eps_0 + s (eps_c - eps_0), in one batched call.

        Args:
            noisy: [views, channels, h, w] noised scaled latents.
            timesteps: [views] whole numbers in 0 .. n_timesteps - 1.
            features: [views, channels, h, w] of `features`; guidance moves away from zeros in their place.
            guidance_scale: s; 1 means no guidance (and half the work).

        Returns:
            [views, channels, h, w] noise; v-predictions are converted. No gradient passes.
        """
        guided = guidance_scale != 1
        condition = torch.cat([torch.zeros_like(features), features]) if guided else features
        repeat = 2 if guided else 1
        given = torch.cat([noisy.repeat(repeat, 1, 1, 1), condition], dim=1).to(self.dtype)
        output = self.unet(given, timesteps.repeat(repeat), return_dict=False)[0].float()
        if guided:
            without, with_features = output.chunk(2)
            output = without + guidance_scale * (with_features - without)
        if self.prediction_type == "epsilon":
            return output
        return noise_from_velocity(noisy, output, self._alphas(timesteps))

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Diffuse latents forward: sqrt(alpha_bar) z + sqrt(1 - alpha_bar) noise, with [views] timesteps."""
        alphas = self._alphas(timesteps)
        return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise

    @torch.no_grad()
    def denoise(self, noisy: Tensor, timesteps: list[int], features: Tensor, guidance_scale: float = 1.0) -> Tensor:
        """Run deterministic DDIM (Song et al. 2021, eq. 12 with sigma 0) down a list of timesteps to clean latents.

        Args:
            noisy: [views, channels, h, w], at the noise level of `timesteps[0]`.
            timesteps: falling; the last prediction is of the clean latents.
            features: as in `predict`, like the scale.
            guidance_scale: 1 means none.

        Raises:
            Prior3dError: there is no timestep.
        """
        latents = noisy
        for step, timestep in enumerate(timesteps):
            at = torch.full((len(latents),), timestep, device=self.device)
            noise = self.predict(latents, at, features, guidance_scale)
            alpha = self.alphas_cumprod[timestep]
            clean = (latents - (1 - alpha).sqrt() * noise) / alpha.sqrt()
            if step + 1 == len(timesteps):
                return clean
            next_alpha = self.alphas_cumprod[timesteps[step + 1]]
            latents = next_alpha.sqrt() * clean + (1 - next_alpha).sqrt() * noise
        raise Prior3dError("denoise: the list of timesteps is empty; give at least one")

    @torch.no_grad()
    def sample(
        self,
        images: Tensor,
        cameras: Cameras,
        query: Cameras,
        *,
        guidance_scale: float = 1.0,
        n_steps: int = 20,
        generator: torch.Generator,
    ) -> Tensor:
        """Draw each wanted view by itself: [queries, 3, image_size, image_size], repeatable from the generator.

        The views agree only as far as the pictures determine them. Args and errors as in `features`.
        """
        return self.draw(
            self.features(images, cameras, query), guidance_scale=guidance_scale, n_steps=n_steps, generator=generator
        )

    @torch.no_grad()
    def draw(
        self, features: Tensor, *, guidance_scale: float = 1.0, n_steps: int = 20, generator: torch.Generator
    ) -> Tensor:
        """Draw views from features [views, channels, h, w] that are known already, as `sample` does."""
        shape = (len(features), self.latent_channels, self.latent_size, self.latent_size)
        noise = torch.randn(shape, generator=generator, device=generator.device).to(self.device)
        timesteps = falling_timesteps(self.n_timesteps - 1, n_steps)
        return self.decode(self.denoise(noise, timesteps, features, guidance_scale))

    def _check(self, images: Tensor, cameras: Cameras) -> None:
        """Refuse pictures that the prior cannot use, saying why."""
        if not 1 <= len(images) <= MOST_CONTEXTS:
            raise Prior3dError(f"views prior: {len(images)} pictures; give between 1 and {MOST_CONTEXTS}")
        if images.shape[1:] != (3, self.image_size, self.image_size):
            raise Prior3dError(
                f"views prior: pictures {tuple(images.shape)}, expected [contexts, 3, {self.image_size}, "
                f"{self.image_size}]; crop them to squares and resize them"
            )
        if cameras.views != len(images):
            raise Prior3dError(f"views prior: {len(images)} pictures but {cameras.views} cameras; give one a picture")
        if not (torch.isfinite(images).all() and torch.isfinite(cameras.c2w).all()):
            raise Prior3dError("views prior: a picture or a camera holds values that are not finite; mend the input")

    def _alphas(self, timesteps: Tensor) -> Tensor:
        """alpha_bar at each timestep, shaped to multiply latents: [views, 1, 1, 1]."""
        return self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
