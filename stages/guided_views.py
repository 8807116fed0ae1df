"""Views drawn for a prior: cameras, the text that fits each of them, and what stands behind the object.

Shared by the stages that distil a text-to-image prior: their common parameters, and the drawing itself.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.config import JsonDict

from prior3d.errors import Prior3dError
from stages.entry import Job, StageParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from prior3d.cameras import Cameras, Orbit, OrbitRange
    from prior3d.distillation import Guidance
    from prior3d.fields import Field as RadianceField
    from prior3d.priors.text_to_image import TextToImagePrior
    from prior3d.seeds import Seeds


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first number must not be above the second, found {list(pair)}")
    return pair


Resolution = Annotated[int, Field(ge=2, le=513)]
Range = Annotated[tuple[float, float], AfterValidator(_rising)]
PREVIEW_EVERY_S = 5.0
DEGREES: JsonDict = {"unit": "degrees"}
SMALLEST_COVERAGE, LARGEST_COVERAGE = 0.005, 0.75  # of the pixels of eight views; toy objects cover 5 to 40 %


class GuidedParams(StageParams):
    """Parameters of every stage that asks a text-to-image prior about drawn views; defaults are the toy prior's."""

    guidance_scale: float = Field(3.0, ge=1, le=200, description="classifier-free guidance s; 1 is none")
    timestep_min: float = Field(0.02, ge=0, le=1, description="lowest noise level", json_schema_extra={"unit": "of T"})
    timestep_max: float = Field(0.98, ge=0, le=1, description="highest noise level", json_schema_extra={"unit": "of T"})
    timestep_max_end: float = Field(
        0.98,
        ge=0,
        le=1,
        description="highest noise level at the end (falls linearly)",
        json_schema_extra={"unit": "of T"},
    )
    weighting: Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant"] = Field(
        "one_minus_alpha", description="weight w(t) of the score distillation gradient"
    )
    views_per_step: int = Field(4, ge=1, le=64, description="views rendered a step, spread evenly round the object")
    negative_prompt: str = Field("", max_length=1000, description="what guidance moves away from")
    view_words: bool = Field(True, description="name the view (front, side, back, overhead) in the prompt")
    front_deg: float = Field(
        90, ge=0, le=180, description="width of the front and of the back sector", json_schema_extra=DEGREES
    )
    overhead_deg: float = Field(
        60, ge=0, le=90, description="elevation above which a view is overhead", json_schema_extra=DEGREES
    )
    camera_conditioning: bool = Field(True, description="give the exact camera to priors that take one")
    azimuth_deg: Range = Field((0, 360), description="range of the cameras' azimuth", json_schema_extra=DEGREES)
    elevation_deg: Range = Field((-5, 55), description="range of the cameras' elevation", json_schema_extra=DEGREES)
    radius: Range = Field(
        (3.2, 3.2), description="range of the cameras' distance", json_schema_extra={"unit": "world units"}
    )
    fov_deg: Range = Field((40, 40), description="range of the vertical field of view", json_schema_extra=DEGREES)

    @model_validator(mode="after")
    def _noise_levels_rise(self) -> Self:
        """The lowest noise level lies below the highest, at the start and at the end."""
        if self.timestep_min >= min(self.timestep_max, self.timestep_max_end):
            raise ValueError(
                f"timestep_min {self.timestep_min} is not below timestep_max {self.timestep_max} and "
                f"timestep_max_end {self.timestep_max_end}; lower timestep_min"
            )
        return self


PAPER_VIEWS = {
    "guidance_scale": 100.0,
    "weighting": "sqrt_alpha_one_minus_alpha",
    "views_per_step": 1,
    "front_deg": 70.0,
    "elevation_deg": (-60.0, 90.0),  # theta 0..150 degrees from the top
    "radius": (1.0, 1.5),
    "fov_deg": (40.0, 70.0),
}


@dataclass(frozen=True)
class DrawnViews:
    """Views of one step; `backgrounds` holds each view's place in NAMED_BACKGROUNDS, None when none is named."""

    orbit: "Orbit"
    guidance: "Guidance"
    backgrounds: "list[int] | None"


class GuidedViews:
    """Embeds every text that can occur once, then draws views and looks their texts up."""

    def __init__(
        self, prior: "TextToImagePrior", prompt: str, params: GuidedParams, *, named_backgrounds: bool
    ) -> None:
        """Embed the texts and free the text encoder; `unknown_words` lists words that the prior has never seen."""
        from prior3d.backgrounds import NAMED_BACKGROUNDS

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
    def range(self) -> "OrbitRange":
        """The cameras' ranges."""
        from prior3d.cameras import OrbitRange

        p = self.params
        return OrbitRange(p.azimuth_deg, p.elevation_deg, p.radius, p.fov_deg)

    def draw(self, seeds: "Seeds", azimuth_deg: tuple[float, float] | None = None) -> DrawnViews:
        """Draw the views of one step from the generators "cameras" and "backgrounds".

        With `azimuth_deg` they come from that range in place of the parameter's.
        """
        from dataclasses import replace

        import torch

        from prior3d.cameras import sample_orbit

        n_views = self.params.views_per_step
        ranges = self.range if azimuth_deg is None else replace(self.range, azimuth_deg=azimuth_deg)
        orbit = sample_orbit(ranges, n_views, seeds.generator("cameras"), spread=n_views > 1)
        backgrounds = None
        if self.background_names:
            places = torch.randint(len(self.background_names), (n_views,), generator=seeds.generator("backgrounds"))
            backgrounds = places.tolist()
        return DrawnViews(orbit, self.guidance(orbit, backgrounds), backgrounds)

    def guidance(self, orbit: "Orbit", backgrounds: list[int] | None, scale: float | None = None) -> "Guidance":
        """Texts and cameras of given views, and the guidance scale (the parameter's without `scale`)."""
        from prior3d.cameras import view_words
        from prior3d.distillation import Guidance
        from prior3d.priors.camera_embedding import camera_embedding

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
        from prior3d.distillation import annealed

        return self.params.timestep_min, annealed(self.params.timestep_max, self.params.timestep_max_end, progress)

    def remade(
        self, latents: "Tensor", orbit: "Orbit", place: int, noise_level: float, n_steps: int, seeds: "Seeds"
    ) -> "Tensor":
        """SDEdit (Meng et al. 2022): latents noised to a level and denoised with the views' cameras and texts.

        Args:
            latents: [views, channels, h, w].
            orbit: the views.
            place: the background behind all of them, in `background_names`.
            noise_level: in [0, 1); at 0 the latents come back as they are.
            n_steps: DDIM steps.
            seeds: the generator "noise" is drawn from.
        """
        import torch

        from prior3d.priors.text_to_image import falling_timesteps

        first = min(round(noise_level * self.prior.n_timesteps), self.prior.n_timesteps - 1)
        if first == 0:
            return latents
        guidance = self.guidance(orbit, [place] * orbit.views)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(latents)
        timesteps = falling_timesteps(first, min(n_steps, first))
        noisy = self.prior.add_noise(latents, noise, torch.full((len(latents),), first, device=latents.device))
        return self.prior.denoise(noisy, timesteps, guidance.text, guidance.null_text, guidance.scale, guidance.camera)

    def _text(self, view_word: str, background: str) -> str:
        return view_text(self.prompt, view_word, background)


def view_text(prompt: str, view_word: str, background: str) -> str:
    """The caption as the toy prior was taught it: `a red mug, front view, white background`; empty parts fall away."""
    return ", ".join(part for part in (prompt, view_word, background and f"{background} background") if part)


def spiral(params: GuidedParams, n_views: int) -> "Orbit":
    """Cameras that cover the ranges evenly: azimuths by the golden ratio, elevations rising, the rest in the middle."""
    import torch

    from prior3d.cameras import Orbit

    evenly = (torch.arange(n_views) + 0.5) / n_views
    golden = torch.arange(n_views) * ((5**0.5 - 1) / 2) % 1.0
    azimuth_deg, elevation_deg = (
        low + (high - low) * place
        for (low, high), place in ((params.azimuth_deg, golden), (params.elevation_deg, evenly))
    )
    radius, fov_deg = (torch.full((n_views,), sum(pair) / 2) for pair in (params.radius, params.fov_deg))
    return Orbit(azimuth_deg, elevation_deg, radius, fov_deg)


def ring_views(
    field: "RadianceField", params: GuidedParams, n_samples: int, size: int, background: "Tensor | None" = None
) -> "tuple[Tensor, Tensor]":
    """Features [8, size, size, channels] and opacities [8, size, size] from all round, at the middle of the ranges.

    The background is [channels]; without one features are premultiplied.
    """
    from prior3d.rendering import render_without_gradient

    cameras = ring_of(params, 8, size).to(next(field.parameters()).device)
    features, opacity, _ = render_without_gradient(field, cameras, n_samples, background)
    return features, opacity


def ring_of(params: GuidedParams, n_views: int, size: int) -> "Cameras":
    """Cameras of size^2 pixels from all round, at the middle of the ranges."""
    from prior3d.cameras import orbit_cameras, ring

    elevation_deg, radius, fov_deg = (sum(pair) / 2 for pair in (params.elevation_deg, params.radius, params.fov_deg))
    return orbit_cameras(ring(n_views, elevation_deg, radius, fov_deg), size, size)


def check_object(job: Job, opacity: "Tensor", *, against_empty: str, against_full: str) -> None:
    """Hold that the eight views show an object and neither nothing nor a full frame; record coverage and fogginess.

    `against_empty` and `against_full` say which parameters to turn.
    """
    from prior3d.losses import opacity_entropy_bits

    covered = (opacity > 0.5).float().mean().item()
    for wrong, what, advice in (
        (covered < SMALLEST_COVERAGE, "is empty", against_empty),
        (covered > LARGEST_COVERAGE, "fills the views instead of being an object", against_full),
    ):
        if wrong:
            raise Prior3dError(f"{job.name}: the field {what} ({covered:.1%} of the pixels covered); {advice}")
    job.metric("coverage", covered, "of pixels", n=len(opacity))
    job.metric(
        "opacity_entropy", opacity_entropy_bits(opacity).item(), "bits", n=opacity.numel(), higher_is_better=False
    )


class Preview:
    """A row of views, written now and then for whoever waits."""

    def __init__(self, job: Job, images: "Callable[[], Tensor]") -> None:
        """`images` makes what is shown: [n, 3, height, width] in [0, 1]."""
        self.job, self.images, self.last = job, images, time.monotonic()

    def perhaps(self, step: int, total: int) -> None:
        """Write the picture if the last one is old enough."""
        if time.monotonic() - self.last >= PREVIEW_EVERY_S:
            path = write_row(self.job.work / "preview.png", self.images())
            self.job.progress(step, total, preview=path)
            self.last = time.monotonic()


def write_row(path: Path, images: "Tensor") -> Path:
    """Write images [n, 3, h, w] in [0, 1] side by side as one PNG, enlarged to at least 128 pixels each."""
    from PIL import Image

    pixels = (images.detach().cpu().clamp(0, 1) * 255).round().byte()
    row = pixels.permute(2, 0, 3, 1).reshape(pixels.shape[2], -1, 3).numpy()
    factor = max(1, -(-128 // pixels.shape[2]))
    picture = Image.fromarray(row)
    temporary = path.with_name(f".{path.name}.tmp.png")
    picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC).save(temporary)
    temporary.replace(path)
    return path
