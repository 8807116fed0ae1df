"""Views drawn around an object for a text-to-image prior: cameras, prompts that name them, and backgrounds."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, OrbitRange, orbit_cameras, ring, sample_orbit, spiral_orbit, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.guidance import Conditioning, Prediction
from prior3d.diffusion.scheduling import descending_timesteps
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.errors import Prior3dError
from prior3d.fields import RadianceField
from prior3d.rendering import render_without_gradient
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings

VIEW_WORDS = ("front view", "side view", "back view", "overhead view")
# Perp-Neg's weights a exp(-b r) + c, as in its released code; the first three are 0 at r = 1
FRONT_SEEN_FROM_SIDE = SIDE_SEEN_FROM_FRONT = (4.0, 0.5, -4 * math.exp(-0.5))
SIDE_SEEN_FROM_BACK = (1.0, 0.5, -math.exp(-0.5))
FRONT_SEEN_FROM_BACK = (1.0, 0.5, 0.967)


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
        guidance: scale and rescaling of classifier-free guidance; a number is a scale without rescaling.
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
        guidance: SdsSettings | float,
        *,
        named_backgrounds: bool,
    ) -> None:
        self.prior, self.prompt, self.views, self.prompting = prior, prompt, views, prompting
        settings = guidance if isinstance(guidance, SdsSettings) else SdsSettings(guidance_scale=guidance)
        self.guidance_scale, self.guidance_rescale = settings.guidance_scale, settings.guidance_rescale
        if prior.joint and views.per_step == 1:
            raise Prior3dError("joint views: views.per_step is 1, but a set has several views; set it to 4")
        self.perpendicular = prompting.perp_neg_weight > 0 or prompting.perp_neg_view_weight > 0
        if self.perpendicular and self.guidance_scale == 1:
            raise Prior3dError(
                "perp_neg_weight or perp_neg_view_weight is not 0, but guidance_scale 1 is no guidance; raise it"
            )
        self.azimuth_deg: tuple[float, float] | None = None
        self.name_front = False
        self.background_names = list(NAMED_BACKGROUNDS) if named_backgrounds else []
        self.unknown_words = prior.unknown_words(prompt)
        words = VIEW_WORDS if prompting.view_words else ("",)
        told = self.background_names if prompting.name_background else []
        texts = [view_prompt(prompt, word, name) for word in words for name in told or [""]]
        prior.embed([*texts, prompting.negative_prompt, *([""] if self.perpendicular else [])])
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
        if self.prior.joint:  # a set is a ring
            orbit = replace(orbit, elevation_deg=orbit.elevation_deg[:1].expand(n_views))
        backgrounds = None
        if self.background_names:
            drawn = torch.randint(len(self.background_names), (n_views,), generator=seeds.generator("backgrounds"))
            backgrounds = drawn.tolist()
        asked = self.conditioning(orbit, backgrounds)
        if self.name_front:
            ahead = torch.zeros_like(orbit.azimuth_deg)
            front = self.conditioning(replace(orbit, azimuth_deg=ahead, elevation_deg=ahead), backgrounds)
            asked = replace(front, camera=asked.camera, orbit=asked.orbit)
        return ViewBatch(orbit, asked, backgrounds)

    def cameras(self, batch: ViewBatch, size: int) -> Cameras:
        """Cameras of size^2 pixels, on the prior's device."""
        return orbit_cameras(batch.orbit, size, size).to(self.prior.device)

    def predict(
        self, batch: ViewBatch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The prior's guided noise for the views' prompts and cameras."""
        return self.prior.predict(noisy, timesteps, batch.conditioning)

    def parts(
        self, batch: ViewBatch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Prediction:
        """The prior's noise with guidance, for the views' prompts alone, and without a prompt."""
        return self.prior.parts(noisy, timesteps, batch.conditioning)

    def without_prompt(
        self, batch: ViewBatch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The prior's noise without a prompt; cameras count."""
        asked = batch.conditioning
        plain = Conditioning(asked.null_text, asked.null_text, 1.0, asked.camera, orbit=asked.orbit)
        return self.prior.predict(noisy, timesteps, plain)

    def output(
        self, batch: ViewBatch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The U-Net's own output for the views' prompts without guidance; differentiable."""
        asked = batch.conditioning
        text = asked.text.expand(len(noisy), -1, -1)
        return self.prior.diffusion.network(noisy, timesteps, text, asked.camera)

    def pose(self, batch: ViewBatch) -> Float[Tensor, "views 16"]:
        """The cameras as `camera_embedding` writes them."""
        return camera_embedding(batch.orbit.azimuth_deg, batch.orbit.elevation_deg)

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
        empty = "" if p.perp_neg_weight > 0 else p.negative_prompt
        asked = self.prior.conditioning(prompts, empty, self.guidance_scale, camera)
        asked = replace(asked, rescale=self.guidance_rescale, orbit=orbit)
        return self.with_negatives(asked, orbit, words, names) if self.perpendicular else asked

    def with_negatives(self, asked: Conditioning, orbit: Orbit, words: list[str], names: list[str]) -> Conditioning:
        """The same with Perp-Neg's negative prompts: the person's, and the words of the neighbouring views."""
        p, n, texts, weights = self.prompting, orbit.views, list[str](), list[Tensor]()
        if p.perp_neg_weight > 0:
            texts += [p.negative_prompt] * n
            weights.append(torch.full((1, n), p.perp_neg_weight))
        if p.perp_neg_view_weight > 0:
            pairs, found = view_negatives(orbit, words)
            for place in (0, 1):
                texts += [view_prompt(self.prompt, pair[place], name) for pair, name in zip(pairs, names, strict=True)]
            weights.append(p.perp_neg_view_weight * found)
        embedded = self.prior.embed(texts)
        return replace(
            asked,
            negatives=embedded.view(-1, n, *embedded.shape[1:]),
            negative_weights=torch.cat(weights).to(self.prior.device),
        )

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


def view_negatives(orbit: Orbit, words: list[str]) -> tuple[list[tuple[str, str]], Float[Tensor, "2 views"]]:
    """Perp-Neg for view words (Armandpour et al. 2023, section 4.2): two negative words for each view, with weights.

    A view between two words has both as negative prompts, by where it is between them: from the side "front view"
    counts most, so that no second front grows there. From behind it counts throughout.

    Args:
        orbit: the views.
        words: what their prompts call them; an overhead view has no negatives (weights of 0).

    Returns:
        for each view its two words; [2, views] weights, at least 0.
    """
    chosen, weights = [], []
    for azimuth_deg, word in zip(orbit.azimuth_deg.tolist(), words, strict=True):
        quarter_turns = abs((azimuth_deg + 180.0) % 360.0 - 180.0) / 90
        if quarter_turns < 1:
            r = 1 - quarter_turns  # 1 in front, 0 at the side
            pair, found = (
                ("front view", "side view"),
                (_decay(FRONT_SEEN_FROM_SIDE, r), _decay(SIDE_SEEN_FROM_FRONT, 1 - r)),
            )
        else:
            r = 2 - quarter_turns  # 1 at the side, 0 behind
            pair, found = ("side view", "front view"), (_decay(SIDE_SEEN_FROM_BACK, r), _decay(FRONT_SEEN_FROM_BACK, r))
        chosen.append(pair)
        weights.append((0.0, 0.0) if word == VIEW_WORDS[3] else found)
    return chosen, torch.tensor(weights).T.clamp_min(0)


def _decay(curve: tuple[float, float, float], r: float) -> float:
    """The curve a exp(-b r) + c at r."""
    a, b, c = curve
    return a * math.exp(-b * r) + c
