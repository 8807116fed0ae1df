"""Views drawn around an object for a text-to-image prior: cameras, prompts that name them, and backgrounds."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, OrbitRange, orbit_cameras, ring, sample_orbit, spiral_orbit, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.latent_diffusion import Conditioning
from prior3d.diffusion.scheduling import descending_timesteps
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.fields import RadianceField
from prior3d.rendering import render_without_gradient
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.distillation import PromptSettings, ViewSettings

VIEW_WORDS = ("front view", "side view", "back view", "overhead view")


@dataclass(frozen=True)
class ViewBatch:
    """Views of one step; `backgrounds` holds each view's index in NAMED_BACKGROUNDS, None when none is named."""

    orbit: Orbit
    conditioning: Conditioning
    backgrounds: list[int] | None


class ViewSampler:
    """Embeds every prompt that can occur once, then draws views and looks their prompts up.

    Args:
        prior: frozen; its text encoder is freed once all prompts are embedded.
        prompt: the object in words.
        views: ranges of the cameras.
        prompting: how prompts name views.
        guidance_scale: classifier-free guidance of the prediction.
        named_backgrounds: draw a flat background for each view; the prompting says whether the prompt names it.

    Attributes:
        unknown_words: words of the prompt that the prior has never seen.
        azimuth_deg: range that replaces the settings' for the next draws; None: the settings'.
        name_front: whether the next draws' prompts name the front view, wherever the camera is; cameras stay.
    """

    def __init__(
        self,
        prior: TextToImagePrior,
        prompt: str,
        views: ViewSettings,
        prompting: PromptSettings,
        guidance_scale: float,
        *,
        named_backgrounds: bool,
    ) -> None:
        self.prior, self.prompt, self.views, self.prompting = prior, prompt, views, prompting
        self.guidance_scale = guidance_scale
        self.azimuth_deg: tuple[float, float] | None = None
        self.name_front = False
        self.background_names = list(NAMED_BACKGROUNDS) if named_backgrounds else []
        self.unknown_words = prior.unknown_words(prompt)
        words = VIEW_WORDS if prompting.view_words else ("",)
        told = self.background_names if prompting.name_background else []
        texts = [view_prompt(prompt, word, name) for word in words for name in told or [""]]
        prior.embed([*texts, prompting.negative_prompt])
        prior.free_text_encoder()

    def sample(self, seeds: Seeds) -> ViewBatch:
        """Draw the views of one step from the generators "cameras" and "backgrounds"."""
        n_views = self.views.per_step
        ranges = orbit_range(self.views)
        if self.azimuth_deg is not None:
            ranges = replace(ranges, azimuth_deg=self.azimuth_deg)
        orbit = sample_orbit(ranges, n_views, seeds.generator("cameras"), spread=n_views > 1)
        if self.views.hemisphere > 0 and self.azimuth_deg is None:
            orbit = with_hemisphere(orbit, self.views.hemisphere, seeds.generator("hemisphere"))
        backgrounds = None
        if self.background_names:
            drawn = torch.randint(len(self.background_names), (n_views,), generator=seeds.generator("backgrounds"))
            backgrounds = drawn.tolist()
        asked = self.conditioning(orbit, backgrounds)
        if self.name_front:
            ahead = torch.zeros_like(orbit.azimuth_deg)
            front = replace(orbit, azimuth_deg=ahead, elevation_deg=ahead)
            asked = replace(asked, text=self.conditioning(front, backgrounds).text)
        return ViewBatch(orbit, asked, backgrounds)

    def cameras(self, batch: ViewBatch, size: int) -> Cameras:
        """Cameras of size^2 pixels, on the prior's device."""
        return orbit_cameras(batch.orbit, size, size).to(self.prior.device)

    def predict(
        self, batch: ViewBatch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The prior's guided noise for the views' prompts and cameras."""
        return self.prior.predict(noisy, timesteps, batch.conditioning)

    def conditioning(self, orbit: Orbit, backgrounds: list[int] | None) -> Conditioning:
        """Prompts and cameras of given views, and the guidance scale."""
        p = self.prompting
        words = view_words(orbit, p.front_deg, p.overhead_deg) if p.view_words else [""] * orbit.views
        told = backgrounds is not None and p.name_background
        names = [self.background_names[index] for index in backgrounds or []] if told else [""] * orbit.views
        camera = None
        if p.camera_conditioning and self.prior.camera_conditioned:
            camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg)
        prompts = [view_prompt(self.prompt, word, name) for word, name in zip(words, names, strict=True)]
        return self.prior.conditioning(prompts, p.negative_prompt, self.guidance_scale, camera)

    def sdedit(
        self,
        latents: Float[Tensor, "views channels h w"],
        orbit: Orbit,
        background: int,
        strength: float,
        num_inference_steps: int,
        seeds: Seeds,
    ) -> Float[Tensor, "views channels h w"]:
        """SDEdit (Meng et al. 2022): latents noised to a level and denoised with the views' cameras and prompts.

        Args:
            latents: of the views.
            orbit: the views.
            background: the background behind all of them, an index in `background_names`.
            strength: noise level in [0, 1); at 0 the latents come back as they are.
            num_inference_steps: DDIM steps.
            seeds: the generator "noise" is drawn from.
        """
        prior = self.prior
        first = min(round(strength * prior.n_timesteps), prior.n_timesteps - 1)
        if first == 0:
            return latents
        asked = self.conditioning(orbit, [background] * orbit.views)
        noise = sent(torch.randn(latents.shape, generator=seeds.generator("noise")), latents)
        timesteps = descending_timesteps(first, min(num_inference_steps, first))
        noisy = prior.add_noise(latents, noise, torch.full((len(latents),), first, device=latents.device))
        return prior.denoise(noisy, timesteps, asked)


def view_prompt(prompt: str, view_word: str, background: str) -> str:
    """The caption as the toy prior was taught it: `a red mug, front view, white background`; empty parts fall away."""
    return ", ".join(part for part in (prompt, view_word, background and f"{background} background") if part)


def with_hemisphere(orbit: Orbit, probability: float, generator: torch.Generator) -> Orbit:
    """Views of which each is moved with a probability to somewhere on the upper half of its sphere.

    The directions are RealFusion's: points of the box [-1, 1] x [-1, 1] x [0, 1], drawn evenly and then normalised.
    """
    n = orbit.views
    moved = torch.rand(n, generator=generator) < probability
    x, y, z = (torch.rand((n, 3), generator=generator) * torch.tensor([2.0, 2.0, 1.0]) - torch.tensor([1.0, 1, 0])).T
    azimuth_deg = torch.rad2deg(torch.atan2(y, x)) % 360
    elevation_deg = torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))
    return replace(
        orbit,
        azimuth_deg=torch.where(moved, azimuth_deg, orbit.azimuth_deg),
        elevation_deg=torch.where(moved, elevation_deg, orbit.elevation_deg),
    )


def orbit_range(views: ViewSettings) -> OrbitRange:
    """The ranges of the settings, for `sample_orbit`."""
    return OrbitRange(views.azimuth_deg, views.elevation_deg, views.radius, views.fov_deg)


def spiral(views: ViewSettings, n_views: int) -> Orbit:
    """Cameras that cover the ranges evenly: azimuths by the golden ratio, elevations rising, the rest in the middle."""
    radius, fov_deg = (sum(pair) / 2 for pair in (views.radius, views.fov_deg))
    return spiral_orbit(n_views, views.azimuth_deg, views.elevation_deg, radius, fov_deg)


def ring_cameras(views: ViewSettings, n_views: int, size: int) -> Cameras:
    """Cameras of size^2 pixels from all around, at the middle of the ranges."""
    elevation_deg, radius, fov_deg = (sum(pair) / 2 for pair in (views.elevation_deg, views.radius, views.fov_deg))
    return orbit_cameras(ring(n_views, elevation_deg, radius, fov_deg), size, size)


def render_ring(
    field: RadianceField,
    views: ViewSettings,
    n_samples: int,
    size: int,
    background: Float[Tensor, " channels"] | None = None,
) -> tuple[Float[Tensor, "8 {size} {size} channels"], Float[Tensor, "8 {size} {size}"]]:
    """Features and opacities of eight views from all around; without a background features are premultiplied."""
    cameras = ring_cameras(views, 8, size).to(next(field.parameters()).device)
    features, opacity, _ = render_without_gradient(field, cameras, n_samples, background)
    return features, opacity
