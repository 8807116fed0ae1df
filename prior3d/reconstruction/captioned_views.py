"""What given images show, in the toy world's words, and from where one was taken, as a joint-view prior sees it."""

import torch

from prior3d.cameras import Orbit, view_words
from prior3d.diffusion.captions import JudgedCaption, judged_captions
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.diffusion.likely_captions import likely_captions
from prior3d.diffusion.scheduling import timestep_of_strength
from prior3d.diffusion.scorer import Scorer
from prior3d.reconstruction.drawn_views import GivenViews, background_for_images, view_text
from prior3d.settings.joint_views import CameraSearchSettings, CaptionSettings
from prior3d.toyworld.palette import BACKGROUNDS

RING_ELEVATION_DEG = 15.0
FINE_AZIMUTHS_DEG = (-20.0, -10.0, 0.0, 10.0, 20.0)  # from the best azimuth
ELEVATIONS_DEG = (0.0, 12.0, 24.0, 36.0)


def candidates(scorer: Scorer, given: GivenViews, n_kept: int) -> list[str]:
    """The captions that a scorer likes best for given images, over all backgrounds of the toy world."""
    images = [given.over(level).to(scorer.device) for level, *_ in BACKGROUNDS.values()]
    return likely_captions(scorer, images, n_kept)


def judge(
    prior: JointViewsPrior,
    given: GivenViews,
    texts: list[str],
    settings: CaptionSettings,
    generator: torch.Generator,
    most_images: int = 1,
) -> list[JudgedCaption]:
    """Captions by the prior's errors on given images, the best first.

    Args:
        prior: the joint-view prior.
        given: the images.
        texts: the captions.
        settings: of the judgement.
        generator: draws the noise.
        most_images: of more images some are taken, spread among all.
    """
    behind, n = background_for_images(given), len(given.colours)
    n_chosen = min(n, most_images)
    chosen = [place * n // n_chosen for place in range(n_chosen)]
    orbit = given.orbit[torch.tensor(chosen)]
    words, suffix = view_words(orbit), prior.text_suffix
    prompts = {text: [view_text(text, word, behind.name, suffix) for word in words] for text in texts}
    return judged_captions(prior, given.over(behind.level)[chosen], orbit, prompts, settings, generator)


def search_direction(
    prior: JointViewsPrior,
    given: GivenViews,
    texts: list[str],
    settings: CameraSearchSettings,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Azimuth and elevation in degrees that explain one image best: a ring of azimuths, then directions round the best.

    Args:
        prior: the joint-view prior.
        given: one image; where its camera was taken to be does not matter.
        texts: captions, the likeliest first.
        settings: of the search.
        generator: draws the noise.
    """
    behind = background_for_images(given)
    image = given.over(behind.level)[:1]

    def best(tried: list[tuple[str, float, float]], levels: tuple[float, ...]) -> tuple[str, float, float]:
        azimuths_deg, elevations_deg = torch.tensor([direction for _, *direction in tried]).unbind(-1)
        orbit: Orbit = prior.orbit(azimuths_deg % 360, elevations_deg)
        words = view_words(orbit)
        asked = [view_text(t, word, behind.name, prior.text_suffix) for (t, *_), word in zip(tried, words, strict=True)]
        timesteps = [timestep_of_strength(level, prior.n_timesteps) for level in levels]
        errors = prior.denoising_errors(
            image, orbit, prior.embed(asked), timesteps=timesteps, noises=1, generator=generator
        )
        return tried[int(errors.argmin())]

    ring = [360.0 / settings.n_azimuths * place for place in range(settings.n_azimuths)]
    text, azimuth_deg, _ = best(
        [(text, azimuth_deg, RING_ELEVATION_DEG) for text in texts[: settings.n_captions] for azimuth_deg in ring],
        settings.noise_levels,
    )
    fine = [(text, azimuth_deg + turn_deg, height) for turn_deg in FINE_AZIMUTHS_DEG for height in ELEVATIONS_DEG]
    _, azimuth_deg, elevation_deg = best(fine, settings.fine_noise_levels)
    return azimuth_deg % 360, elevation_deg
