"""What a views prior predicts of cameras between the input views, and its distillation into a field.

After SparseFusion (Zhou and Tulsiani 2023, section 3.3): first the feature transformer's own images, then renders of
the field that the diffusion model denoises. The prior knows objects on flat backgrounds. An input view with a mask can
be put on any of them, so the prior's image of another view is made on white, grey and black; how the background shines
through gives a mask.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import Cameras, orbit_cameras, spiral_orbit
from prior3d.diffusion.scheduling import descending_timesteps
from prior3d.diffusion.views import ViewsPrior
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.errors import Prior3dError
from prior3d.images.colours import clean_mask, difference_mask, estimate_alpha, most_distinct_background
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.sparse_fit import SparseFit
from prior3d.reconstruction.view_targets import ViewTargets, premultiplied
from prior3d.settings.sparse_views import RingSettings

MAX_STRENGTH = 0.99  # of the timesteps: at 1 nothing is left of what was noised


@dataclass(frozen=True)
class PredictedViews:
    """What the feature transformer predicts of some cameras.

    Attributes:
        cameras: a view each.
        features: for the diffusion model, of images on a grey background of `level`.
        colours: its own images, premultiplied where there are masks.
        masks: of the object; None where the inputs have none.
        level: of the background, in [0, 1].
    """

    cameras: Cameras
    features: Float[Tensor, "views channels feature_height feature_width"]
    colours: Float[Tensor, "views 3 height width"]
    masks: Float[Tensor, "views height width"] | None
    level: float

    def over_background(self) -> Float[Tensor, "views 3 height width"]:
        """The images, with objects on the background that the features are for."""
        return self.colours if self.masks is None else self.colours + (1 - self.masks[:, None]) * self.level


def predict_views(prior: ViewsPrior, inputs: InputViews, cameras: Cameras, level: float) -> PredictedViews:
    """Ask the feature transformer about other cameras, on every background where the inputs have masks.

    Args:
        prior: the prior, in evaluation mode.
        inputs: 1 to 10 views, of the prior's size.
        cameras: what to predict.
        level: of the named background that the features are for.

    Raises:
        Prior3dError: as `ViewsPrior.features`, or a camera is an input's: its image would be a copy.
    """
    check_no_copy(inputs.cameras, cameras)
    if inputs.masks is None:
        features, images = prior.features_and_regression(inputs.colours, inputs.cameras, cameras)
        return PredictedViews(cameras, features, images, None, level)
    levels = sorted({*NAMED_BACKGROUNDS.values(), level})
    found = [prior.features_and_regression(inputs.over(grey), inputs.cameras, cameras) for grey in levels]
    colours, masks = triangulation_matting([images for _, images in found], levels)
    return PredictedViews(cameras, found[levels.index(level)][0], colours, masks, level)


def joined(pieces: list[PredictedViews]) -> PredictedViews:
    """Predictions of all cameras, in the pieces' order; all have one background, and all have masks or none has."""
    c2w, fov_deg = (torch.cat([getattr(piece.cameras, name) for piece in pieces]) for name in ("c2w", "fov_deg"))
    first = pieces[0]
    cameras = Cameras(c2w, fov_deg, first.cameras.height, first.cameras.width)
    masks = [piece.masks for piece in pieces if piece.masks is not None]
    features, colours = (torch.cat([getattr(piece, name) for piece in pieces]) for name in ("features", "colours"))
    return PredictedViews(cameras, features, colours, torch.cat(masks) if masks else None, first.level)


def triangulation_matting(
    images: list[Float[Tensor, "views 3 height width"]], levels: list[float]
) -> tuple[Float[Tensor, "views 3 height width"], Float[Tensor, "views height width"]]:
    """Colours and masks from images of one thing on several greys (Smith and Blinn 1996): what changes is background.

    Args:
        images: one on each background, in [0, 1].
        levels: of the backgrounds, at least two, rising.

    Returns:
        Premultiplied colours, the mean of what each image says; and masks by least squares over all images and
        channels.
    """
    greys = torch.tensor(levels, device=images[0].device)
    centred = greys - greys.mean()
    stacked = torch.stack([image.mean(1) for image in images])  # [levels, views, height, width]
    through = torch.einsum("l,lvhw->vhw", centred, stacked) / centred.square().sum()
    masks = (1 - through).clamp(0, 1)
    return premultiplied(torch.stack(images).mean(0), masks, float(greys.mean())), masks


def background_level(inputs: InputViews) -> float:
    """The named grey that the object stands out from; of whole images any."""
    levels = list(NAMED_BACKGROUNDS.values())
    if inputs.masks is None:
        return levels[0]
    inside = inputs.masks > 0.5
    colours = inputs.colours.movedim(1, -1)[inside] / inputs.masks[inside][:, None]
    return levels[most_distinct_background(colours, levels)]


def camera_ring(inputs: Cameras, n_views: int, elevation_deg: tuple[float, float], size: int) -> Cameras:
    """Cameras all around, at the inputs' median distance, seeing as much as they do, upright in the world.

    Args:
        inputs: the input views' cameras.
        n_views: how many cameras.
        elevation_deg: their elevations rise from the first to the second; azimuths go by the golden ratio.
        size: side of their images in pixels.
    """
    radius, fov_deg = (values.median().item() for values in (inputs.positions.norm(dim=-1), inputs.fov_deg))
    return orbit_cameras(spiral_orbit(n_views, (0.0, 360.0), elevation_deg, radius, fov_deg), size, size)


def not_copies(inputs: Cameras, cameras: Cameras) -> Cameras:
    """Those of the cameras that are none of the inputs'."""
    return cameras[(~_same(inputs, cameras).any(dim=1)).nonzero()[:, 0]]


def check_no_copy(inputs: Cameras, cameras: Cameras) -> None:
    """Check that none of the cameras is an input's (raises Prior3dError)."""
    same = _same(inputs, cameras)
    if same.any():
        index, which = same.nonzero()[0].tolist()
        raise Prior3dError(
            f"views prior: camera {index} is that of input {which}, whose image it would only copy; "
            "leave that input out, or ask for another camera"
        )


def _same(inputs: Cameras, cameras: Cameras, within: float = 1e-4) -> Bool[Tensor, "views inputs"]:
    """Whether two cameras stand and look alike."""
    return (cameras.c2w[:, None] - inputs.c2w[None].to(cameras.c2w)).abs().amax((-1, -2)) < within


def sdedit_timestep(strength: float, n_timesteps: int) -> int:
    """The timestep of a noise level in [0, 1], which is clamped to `MAX_STRENGTH`; at least 1."""
    return max(1, min(math.floor(min(strength, MAX_STRENGTH) * n_timesteps), n_timesteps - 1))


def sdedit_steps(strength: float, most: int) -> int:
    """DDIM steps from a noise level down: 100 times the level, at least 1 and at most `most` (paper: 50)."""
    return max(1, min(math.floor(100 * strength), most))


@torch.no_grad()
def sdedit_views(
    prior: ViewsPrior,
    images: Float[Tensor, "views 3 height width"],
    features: Float[Tensor, "views channels feature_height feature_width"],
    strength: float,
    num_inference_steps: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "views 3 height width"], float]:
    """Noise images to a level and denoise them with features, without guidance (SparseFusion, eq. 7).

    Denoising begins with the images' noised latents at every level, the highest too.

    Args:
        prior: the prior.
        images: renders of the prior's size, in [0, 1].
        features: of the same cameras and background.
        strength: noise level, in [0, 1].
        num_inference_steps: most DDIM steps.
        generator: of the noise, on the CPU.

    Returns:
        Images in [0, 1], and their weight 1 - ᾱ: nearly 0 where hardly anything was changed.
    """
    timestep = sdedit_timestep(strength, prior.n_timesteps)
    latents = prior.encode(images.to(prior.device))
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    noisy = prior.add_noise(latents, noise, torch.full((len(latents),), timestep, device=prior.device))
    steps = min(sdedit_steps(strength, num_inference_steps), timestep)
    clean = prior.denoise(noisy, descending_timesteps(timestep, steps), features.to(prior.device))
    return prior.decode(clean), float(prior.schedule.noise_share(timestep))


def ring_targets(predicted: PredictedViews) -> ViewTargets:
    """The feature transformer's images as what a field is fitted to."""
    targets = ViewTargets(predicted.cameras, predicted.masks is not None)
    targets.put(slice(None), predicted.colours, predicted.masks)
    return targets


class RingRefresher:
    """Refreshes views of the ring while a field is fitted to them.

    Args:
        prior: its diffusion model denoises renders.
        predicted: the feature transformer's predictions of the ring.
        fit: whose targets are `ring_targets(predicted)`.
        settings: when, how many, and from how much noise; "refresh" is drawn from the fit's seeds.
    """

    def __init__(self, prior: ViewsPrior, predicted: PredictedViews, fit: SparseFit, settings: RingSettings) -> None:
        if fit.targets is None:
            raise Prior3dError("ring of views: the fit has no targets; give ring_targets(predicted) to start_fit")
        self.prior, self.predicted, self.fit, self.settings = prior, predicted, fit, settings
        self.targets = fit.targets

    def refresh_if_due(self, step: int, n_steps: int) -> None:
        """Refresh some views, if it is time to."""
        begin = round(self.settings.warm_up * n_steps)
        if step >= begin and (step - begin) % self.settings.refresh_every == 0:
            self.refresh()

    def refresh(self) -> None:
        """Draw cameras and a noise level; render, noise, denoise; the results replace the old images."""
        predicted, settings, generator = self.predicted, self.settings, self.fit.seeds.generator("refresh")
        n_views = predicted.cameras.views
        index = torch.randperm(n_views, generator=generator)[: min(settings.views_per_refresh, n_views)]
        low, high = settings.strength_range
        strength = low + (high - low) * float(torch.rand(1, generator=generator))
        renders, opacity = self.fit.images(predicted.cameras[index], predicted.level)
        images, weight = sdedit_views(
            self.prior, renders, predicted.features[index], strength, settings.num_inference_steps, generator
        )
        keep, masks = settings.regression_weight, None
        if predicted.masks is not None:
            level = predicted.level
            found = estimate_alpha(images, clean_mask(difference_mask(images, level), opacity), level)
            images, masks = premultiplied(images, found, level), keep * predicted.masks[index] + (1 - keep) * found
        images = keep * predicted.colours[index] + (1 - keep) * images
        self.targets.put(index, images, masks, weight)
