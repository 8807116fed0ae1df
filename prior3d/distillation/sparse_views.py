"""What a views prior has to say of cameras between the input views, and how far it can be trusted.

After SparseFusion (Zhou and Tulsiani 2023, section 3.3): first the feature transformer's own pictures, then renders of
the field that the diffusion model denoises. The prior knows objects on flat backgrounds; as an input view with a mask
can be put on any of them, its picture of another view is made on white, grey and black, and from how the background
shines through follows a mask.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.timesteps import descending_timesteps
from prior3d.diffusion.views import ViewsPrior
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.errors import Prior3dError

HIGHEST_NOISE = 0.99  # of the timesteps: at 1 nothing is left of what was noised
FULL_TRUST_DB, NO_TRUST_DB = 0.0, -3.0  # how much better than a plain fit the prior shows views that it was not given


@dataclass(frozen=True)
class GivenViews:
    """Input views as the prior takes them.

    Attributes:
        colours: [views, 3, size, size] at the prior's size, premultiplied where there are masks.
        masks: [views, size, size], or None.
        cameras: [views].
    """

    colours: Tensor
    masks: Tensor | None
    cameras: Cameras

    def over(self, level: float) -> Tensor:
        """The pictures [views, 3, size, size], objects on a grey of that level."""
        return self.colours if self.masks is None else self.colours + (1 - self.masks[:, None]) * level

    def __getitem__(self, index: list[int]) -> "GivenViews":
        """Some of the views."""
        chosen = torch.tensor(index)
        masks = None if self.masks is None else self.masks[chosen]
        return GivenViews(self.colours[chosen], masks, self.cameras[chosen])


@dataclass(frozen=True)
class SeenViews:
    """What the feature transformer says of wanted views.

    Attributes:
        features: [views, channels, h, w] for the diffusion model, of pictures on the grey `level`.
        colours: [views, 3, size, size] its own pictures, premultiplied where there are masks.
        masks: [views, size, size], or None.
    """

    features: Tensor
    colours: Tensor
    masks: Tensor | None


def seen_from(prior: ViewsPrior, given: GivenViews, wanted: Cameras, level: float) -> SeenViews:
    """Ask the feature transformer about wanted views, on every background where the inputs have masks.

    Args:
        prior: the prior, in evaluation mode.
        given: 1 to 10 input views.
        wanted: cameras.
        level: of the named background that the features are for.

    Raises:
        Prior3dError: as `ViewsPrior.features`, or a wanted camera is an input's: its picture would be a copy.
    """
    check_no_copy(given.cameras, wanted)
    if given.masks is None:
        features, pictures = prior.features_and_regression(given.colours, given.cameras, wanted)
        return SeenViews(features, pictures, None)
    levels = sorted({*NAMED_BACKGROUNDS.values(), level})
    found = [prior.features_and_regression(given.over(grey), given.cameras, wanted) for grey in levels]
    colours, masks = triangulation_matting([pictures for _, pictures in found], levels)
    return SeenViews(found[levels.index(level)][0], colours, masks)


def triangulation_matting(pictures: list[Tensor], levels: list[float]) -> tuple[Tensor, Tensor]:
    """Colours and masks from pictures of one thing on several greys: what changes with the background is background.

    Args:
        pictures: each [views, 3, height, width] in [0, 1], by rising level.
        levels: at least two.

    Returns:
        premultiplied colours [views, 3, height, width], the mean of what each picture says, and masks [views, height,
        width]; the masks by least squares over all pictures and channels.
    """
    greys = torch.tensor(levels, device=pictures[0].device)
    centred = greys - greys.mean()
    stacked = torch.stack([picture.mean(1) for picture in pictures])  # [levels, views, height, width]
    through = torch.einsum("l,lvhw->vhw", centred, stacked) / centred.square().sum()
    masks = (1 - through).clamp(0, 1)
    behind = (1 - masks[:, None]) * greys.mean()
    colours = torch.stack(pictures).mean(0) - behind
    return torch.minimum(colours.clamp_min(0), masks[:, None]), masks


def not_copies(given: Cameras, wanted: Cameras) -> Cameras:
    """Those of the wanted cameras that are none of the given."""
    return wanted[(~_same(given, wanted).any(dim=1)).nonzero()[:, 0]]


def check_no_copy(given: Cameras, wanted: Cameras) -> None:
    """Hold that no wanted camera is one of the given (raises Prior3dError)."""
    same = _same(given, wanted)
    if same.any():
        place, which = same.nonzero()[0].tolist()
        raise Prior3dError(
            f"views prior: wanted camera {place} is that of input {which}, whose picture it would only copy; "
            "leave that input out, or ask for another camera"
        )


def _same(given: Cameras, wanted: Cameras, within: float = 1e-4) -> Tensor:
    """[wanted, given] whether two cameras stand and look alike."""
    return (wanted.c2w[:, None] - given.c2w[None].to(wanted.c2w)).abs().amax((-1, -2)) < within


def noise_timestep(level: float, n_timesteps: int) -> int:
    """The timestep of a noise level in [0, 1], which is clamped to `HIGHEST_NOISE`; at least 1."""
    return max(1, min(math.floor(min(level, HIGHEST_NOISE) * n_timesteps), n_timesteps - 1))


def n_denoising_steps(level: float, most: int) -> int:
    """More steps from more noise: 100 times the level, at least 1 and at most `most` (paper: 50)."""
    return max(1, min(math.floor(100 * level), most))


def denoised(
    prior: ViewsPrior, images: Tensor, features: Tensor, level: float, most_steps: int, generator: torch.Generator
) -> tuple[Tensor, float]:
    """Noise pictures to a level and denoise them with features, without guidance (SparseFusion, eq. 7).

    At every level, the highest too, it is the picture's noised latents that denoising begins with.

    Args:
        prior: the prior.
        images: [views, 3, size, size] renders, in [0, 1].
        features: [views, channels, h, w] of the same cameras and background.
        level: of the noise, in [0, 1].
        most_steps: of denoising.
        generator: of the noise, on the CPU.

    Returns:
        [views, 3, size, size] in [0, 1], and their weight 1 - ᾱ: nearly 0 where hardly anything was changed.
    """
    timestep = noise_timestep(level, prior.n_timesteps)
    with torch.no_grad():
        latents = prior.encode(images.to(prior.device))
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy = prior.add_noise(latents, noise, torch.full((len(latents),), timestep, device=prior.device))
        steps = min(n_denoising_steps(level, most_steps), timestep)
        clean = prior.denoise(noisy, descending_timesteps(timestep, steps), features.to(prior.device))
        return prior.decode(clean), float(1 - prior.alphas_cumprod[timestep])


def leave_one_out(n_views: int, most: int) -> list[tuple[int, list[int]]]:
    """Views to leave out, one at a time and at most `most` of them, evenly, each with all others; none of one view."""
    if n_views < 2:
        return []
    left_out = sorted({place * n_views // min(most, n_views) for place in range(min(most, n_views))})
    return [(view, [other for other in range(n_views) if other != view]) for view in left_out]


def trust(prior_db: list[float], plain_db: list[float]) -> float:
    """How far to trust a prior, from PSNRs of its pictures of views left out and of plain fits of the same views.

    Returns:
        1 where it is as good as the fits or better, 0 where it is 3 dB worse or more; 1 where nothing was left out.

    Raises:
        Prior3dError: not the same number of both.
    """
    if len(prior_db) != len(plain_db):
        raise Prior3dError(f"trust: {len(prior_db)} pictures of the prior, {len(plain_db)} of fits; give one each")
    if not prior_db:
        return 1.0
    ahead_db = sum(prior_db) / len(prior_db) - sum(plain_db) / len(plain_db)
    return min(1.0, max(0.0, (ahead_db - NO_TRUST_DB) / (FULL_TRUST_DB - NO_TRUST_DB)))
