"""Views drawn for a prior: cameras, the text that fits each of them, and what stands behind the object.

Shared by the stages that distil a text-to-image prior: their common parameters, and the drawing itself.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, OrbitRange, orbit_cameras, ring, sample_orbit, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.diffusion.timesteps import descending_timesteps
from prior3d.distillation.sds import Guidance, annealed
from prior3d.fields import RadianceField
from prior3d.images.backgrounds import NAMED_BACKGROUNDS
from prior3d.rendering import render_without_gradient
from prior3d.seeds import Seeds
from stages.contract.job import Job
from stages.contract.parameters import GuidedParams


@dataclass(frozen=True)
class DrawnViews:
    """Views of one step; `backgrounds` holds each view's place in NAMED_BACKGROUNDS, None when none is named."""

    orbit: Orbit
    guidance: Guidance
    backgrounds: list[int] | None


class GuidedViews:
    """Embeds every text that can occur once, then draws views and looks their texts up."""

    def __init__(self, prior: TextToImagePrior, prompt: str, params: GuidedParams, *, named_backgrounds: bool) -> None:
        """Embed the texts and free the text encoder; `unknown_words` lists words that the prior has never seen."""
        self.prior, self.params, self.prompt = prior, params, prompt
        self.background_names = list(NAMED_BACKGROUNDS) if named_backgrounds else []
        words = ["front view", "side view", "back view", "overhead view"] if params.view_words else [""]
        self.unknown_words = prior.unknown_words(prompt)
        texts = [self._text(word, name) for word in words for name in self.background_names or [""]]
        prior.embed([*texts, params.negative_prompt])
        prior.free_text_encoder()

    def warn(self, job: Job, total: int) -> None:
        """Say which words of the prompt the prior has never seen, on the progress line and as a metric."""
        job.metric("unknown_words", len(self.unknown_words), "words", higher_is_better=False)
        if self.unknown_words:
            job.progress(0, total, text=f"this prior does not know: {', '.join(self.unknown_words)}")

    @property
    def range(self) -> OrbitRange:
        """The cameras' ranges."""
        p = self.params
        return OrbitRange(p.azimuth_deg, p.elevation_deg, p.radius, p.fov_deg)

    def draw(self, seeds: Seeds, azimuth_deg: tuple[float, float] | None = None) -> DrawnViews:
        """Draw the views of one step from the generators "cameras" and "backgrounds".

        With `azimuth_deg` they come from that range in place of the parameter's.
        """
        n_views = self.params.views_per_step
        ranges = self.range if azimuth_deg is None else replace(self.range, azimuth_deg=azimuth_deg)
        orbit = sample_orbit(ranges, n_views, seeds.generator("cameras"), spread=n_views > 1)
        backgrounds = None
        if self.background_names:
            places = torch.randint(len(self.background_names), (n_views,), generator=seeds.generator("backgrounds"))
            backgrounds = places.tolist()
        return DrawnViews(orbit, self.guidance(orbit, backgrounds), backgrounds)

    def guidance(self, orbit: Orbit, backgrounds: list[int] | None, scale: float | None = None) -> Guidance:
        """Texts and cameras of given views, and the guidance scale (the parameter's without `scale`)."""
        p = self.params
        words = view_words(orbit, p.front_deg, p.overhead_deg) if p.view_words else [""] * orbit.views
        names = (
            [self.background_names[place] for place in backgrounds] if backgrounds is not None else [""] * orbit.views
        )
        camera = None
        if p.camera_conditioning and self.prior.camera_conditioned:
            camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg)
        text = self.prior.embed([self._text(word, name) for word, name in zip(words, names, strict=True)])
        null_text = self.prior.embed([p.negative_prompt])
        return Guidance(text, null_text, p.guidance_scale if scale is None else scale, camera)

    def timestep_limits(self, progress: float) -> tuple[float, float]:
        """Lowest and highest noise level, as fractions, after a fraction `progress` of the steps."""
        return self.params.timestep_min, annealed(self.params.timestep_max, self.params.timestep_max_end, progress)

    def remade(
        self, latents: Tensor, orbit: Orbit, place: int, noise_level: float, n_steps: int, seeds: Seeds
    ) -> Tensor:
        """SDEdit (Meng et al. 2022): latents noised to a level and denoised with the views' cameras and texts.

        Args:
            latents: [views, channels, h, w].
            orbit: the views.
            place: the background behind all of them, in `background_names`.
            noise_level: in [0, 1); at 0 the latents come back as they are.
            n_steps: DDIM steps.
            seeds: the generator "noise" is drawn from.
        """
        first = min(round(noise_level * self.prior.n_timesteps), self.prior.n_timesteps - 1)
        if first == 0:
            return latents
        guidance = self.guidance(orbit, [place] * orbit.views)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(latents)
        timesteps = descending_timesteps(first, min(n_steps, first))
        noisy = self.prior.add_noise(latents, noise, torch.full((len(latents),), first, device=latents.device))
        return self.prior.denoise(noisy, timesteps, guidance.text, guidance.null_text, guidance.scale, guidance.camera)

    def _text(self, view_word: str, background: str) -> str:
        return view_text(self.prompt, view_word, background)


def view_text(prompt: str, view_word: str, background: str) -> str:
    """The caption as the toy prior was taught it: `a red mug, front view, white background`; empty parts fall away."""
    return ", ".join(part for part in (prompt, view_word, background and f"{background} background") if part)


def spiral(params: GuidedParams, n_views: int) -> Orbit:
    """Cameras that cover the ranges evenly: azimuths by the golden ratio, elevations rising, the rest in the middle."""
    evenly = (torch.arange(n_views) + 0.5) / n_views
    golden = torch.arange(n_views) * ((5**0.5 - 1) / 2) % 1.0
    azimuth_deg, elevation_deg = (
        low + (high - low) * place
        for (low, high), place in ((params.azimuth_deg, golden), (params.elevation_deg, evenly))
    )
    radius, fov_deg = (torch.full((n_views,), sum(pair) / 2) for pair in (params.radius, params.fov_deg))
    return Orbit(azimuth_deg, elevation_deg, radius, fov_deg)


def ring_views(
    field: "RadianceField", params: GuidedParams, n_samples: int, size: int, background: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Features [8, size, size, channels] and opacities [8, size, size] from all round, at the middle of the ranges.

    The background is [channels]; without one features are premultiplied.
    """
    cameras = ring_of(params, 8, size).to(next(field.parameters()).device)
    features, opacity, _ = render_without_gradient(field, cameras, n_samples, background)
    return features, opacity


def ring_of(params: GuidedParams, n_views: int, size: int) -> Cameras:
    """Cameras of size^2 pixels from all round, at the middle of the ranges."""
    elevation_deg, radius, fov_deg = (sum(pair) / 2 for pair in (params.elevation_deg, params.radius, params.fov_deg))
    return orbit_cameras(ring(n_views, elevation_deg, radius, fov_deg), size, size)
