"""Edit single images of a capture by one instruction, as Instruct-NeRF2NeRF does (Haque et al. 2023, section 3.2).

A render of the scene is noised to a drawn level and denoised by InstructPix2Pix, which is told the instruction and
shows the untouched photo. By default only the prior's change is added to the photo (`transfer`).
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.dataset_update.edited_images import prior_size, resized, transferred
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from prior3d.diffusion.scheduling import instruct_timesteps
from prior3d.settings.scene_edits import RelevanceSettings, ViewEditSettings

TOY_RADIUS, TOY_FOV_DEG = 3.2, 40.0  # where a camera must stand for its azimuth to mean something to a toy prior
RADIUS_TOLERANCE, FOV_TOLERANCE_DEG = 0.1, 4.0  # relative, and in degrees
SIDE_MULTIPLE = 16  # image sides that every autoencoder and network here can halve


class ViewEditor:
    """Edits single images by an instruction; its results depend on its arguments only.

    Args:
        prior: frozen.
        instruction: in words.
        cameras: of the capture's images.
        settings: guidance, noise levels, and what is taken of an edit.
        shorter_side: of the images that the prior is shown, in pixels.

    Attributes:
        size: height and width of the images that the prior is shown.
        unknown_words: words of the instruction that the prior has never seen.
    """

    def __init__(
        self,
        prior: InstructPrior,
        instruction: str,
        cameras: Cameras,
        settings: ViewEditSettings,
        shorter_side: int,
    ) -> None:
        self.prior, self.instruction, self.settings = prior, instruction, settings
        self.image_size = cameras.height, cameras.width
        self.size = prior_size(cameras.height, cameras.width, shorter_side, SIDE_MULTIPLE)
        self.cameras = conditioning_cameras(cameras, prior, settings.camera_conditioning)
        self.unknown_words = prior.unknown_words(instruction)

    def edit(
        self,
        view: int,
        original: Float[Tensor, "1 3 height width"],
        rendered: Float[Tensor, "1 3 height width"] | None,
        strength: float,
        generator: torch.Generator,
        guidance: tuple[float, float] | None = None,
    ) -> Float[Tensor, "1 3 height width"]:
        """Edit the image of a view.

        Args:
            view: whose camera the prior is given.
            original: the photo that the instruction speaks of.
            rendered: where denoising starts; None: the photo.
            strength: noise level, as a fraction of T.
            generator: draws the noise.
            guidance: image and text guidance that replace the settings'.
        """
        small = self.at_prior_size(original)
        start = small if rendered is None else self.at_prior_size(rendered)
        edited = self._edits(view, start, small, strength, generator, guidance).mean(0, keepdim=True)
        if not self.settings.transfer:
            return resized(edited, self.image_size)
        return transferred(original, edited, self._reconstructed(small), self.settings.min_change)

    def predict_in_one_step(
        self,
        view: int,
        original: Float[Tensor, "1 3 height width"],
        n_predictions: int,
        strength: float,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"]]:
        """One-step edits of a photo without guidance: their mean change, and the mean of its squared length.

        Args:
            view: whose camera the prior is given.
            original: the photo.
            n_predictions: each from noise of its own.
            strength: noise level, as a fraction of T.
            generator: draws the noise.
        """
        small = self.at_prior_size(original)
        timestep = max(1, round(strength * (self.prior.n_timesteps - 1)))
        many = small.expand(n_predictions, -1, -1, -1)
        edited = self.prior.edit(
            many,
            many,
            [self.instruction],
            EditSettings(guidance_scale=1.0, image_guidance_scale=1.0),
            self.camera(view, n_predictions),
            timesteps=[timestep],
            generator=generator,
        )
        change = edited - self._reconstructed(small)
        change = functional.interpolate(change, self.image_size, mode="bilinear", align_corners=False)
        return change.mean(0), change.square().sum(1, keepdim=True).mean(0)

    def relevance(
        self,
        view: int,
        original: Float[Tensor, "1 3 height width"],
        settings: RelevanceSettings,
        generator: torch.Generator,
    ) -> Float[Tensor, "1 1 height width"]:
        """How much the instruction changes the prior's prediction for a photo, pixel by pixel, from 0 up."""
        found = self.prior.relevance(
            self.at_prior_size(original),
            self.instruction,
            self.camera(view),
            strength=settings.strength,
            n_samples=settings.n_samples,
            generator=generator,
        )
        return resized(found, self.image_size)

    def at_prior_size(self, images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views 3 h w"]:
        """Images at the size that the prior is shown."""
        return resized(images, self.size)

    def camera(self, view: int, n: int = 1) -> Float[Tensor, "n 16"] | None:
        """What the prior is told of a view's camera, n times; None: nothing."""
        return None if self.cameras is None else self.cameras[view : view + 1].expand(n, -1)

    def _edits(
        self,
        view: int,
        start: Float[Tensor, "1 3 h w"],
        small: Float[Tensor, "1 3 h w"],
        strength: float,
        generator: torch.Generator,
        guidance: tuple[float, float] | None,
    ) -> Float[Tensor, "n 3 h w"]:
        """Edits of one image at the prior's size, each from noise of its own."""
        settings, n, n_steps = self.settings, self.settings.n_edit_samples, self.settings.num_inference_steps
        image_scale, text_scale = guidance or (settings.image_guidance_scale, settings.guidance_scale)
        return self.prior.edit(
            start.expand(n, -1, -1, -1),
            small.expand(n, -1, -1, -1),
            [self.instruction],
            EditSettings(guidance_scale=text_scale, image_guidance_scale=image_scale),
            self.camera(view, n),
            timesteps=instruct_timesteps(max(n_steps, round(strength * self.prior.n_timesteps)), n_steps),
            generator=generator,
        )

    @torch.no_grad()
    def _reconstructed(self, small: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        """What the autoencoder makes of an image."""
        return self.prior.decode(self.prior.encode(small))


def edit_strength(settings: ViewEditSettings, progress: float, generator: torch.Generator | None = None) -> float:
    """The noise level of an edit.

    Args:
        settings: the range, and what its upper end becomes.
        progress: fraction of the steps done, in [0, 1].
        generator: draws the level evenly from the range; None: its upper end.
    """
    low, high = settings.noise_range
    high += (max(low, settings.noise_range_end or high) - high) * progress
    return high if generator is None else low + (high - low) * float(torch.rand((), generator=generator))


def conditioning_cameras(cameras: Cameras, prior: InstructPrior, mode: str) -> Float[Tensor, "views 16"] | None:
    """Embeddings of the cameras for a prior that takes them; None: it is told nothing.

    Args:
        cameras: of the images.
        prior: may take a camera or not.
        mode: `yes`, `no`, or `auto`: only if all cameras stand where the toy world's do.
    """
    radius = cameras.positions.norm(dim=-1)
    off_radius = (radius / TOY_RADIUS - 1).abs().max()
    toy_like = off_radius < RADIUS_TOLERANCE and (cameras.fov_deg - TOY_FOV_DEG).abs().max() < FOV_TOLERANCE_DEG
    if mode == "no" or not prior.camera_conditioned or (mode == "auto" and not toy_like):
        return None
    x, y, z = cameras.positions.unbind(-1)
    azimuth_deg = torch.rad2deg(torch.atan2(y, x))
    elevation_deg = torch.rad2deg(torch.asin((z / radius).clamp(-1, 1)))
    return camera_embedding(azimuth_deg, elevation_deg).to(prior.device)
