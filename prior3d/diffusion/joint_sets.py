"""What a joint-view prior is asked for: the frames of a set, their rays, and what can be refused before it draws."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras, Orbit
from prior3d.diffusion.scheduling import Schedule
from prior3d.errors import Prior3dError
from prior3d.rendering.rays import rays

TOLERANCE = 1e-3  # of radius and field of view, in world units and degrees


@dataclass(frozen=True)
class SetConditioning:
    """What the frames of one set are drawn from; the given ones come first.

    Attributes:
        texts: embedded: the text, and what guidance moves away from, if there is guidance.
        guidance_scale: of classifier-free guidance on the text; 1 is none.
        camera: the network's class labels.
        condition: further channels of the network, behind the latents.
        clean: latents of the given frames.
        given_noise: with which the network sees them; None: it sees them clean.
    """

    texts: tuple[Float[Tensor, "frames tokens text_width"], ...]
    guidance_scale: float
    camera: Float[Tensor, "frames 16"]
    condition: Float[Tensor, "frames further h w"]
    clean: Float[Tensor, "given channels h w"]
    given_noise: Float[Tensor, "given channels h w"] | None = None

    def given(
        self, times: Int[Tensor, "sets wanted"], schedule: Schedule
    ) -> tuple[Float[Tensor, "sets given channels h w"], Int[Tensor, "sets given"]]:
        """The given frames as the network sees them in each set, and the timesteps that they stand at.

        Args:
            times: timesteps of the wanted frames, one a set.
            schedule: of the prior.
        """
        sets, shape = len(times), self.clean.shape
        if self.given_noise is None:
            return self.clean.expand(sets, *shape), times.new_zeros(sets, len(self.clean))
        at = times[:, :1].expand(sets, len(self.clean))
        clean, noise = (part.repeat(sets, 1, 1, 1) for part in (self.clean, self.given_noise))
        return schedule.add_noise(clean, noise, at.flatten()).view(sets, *shape), at


def pluecker_rays(cameras: Cameras) -> Float[Tensor, "views 6 height width"]:
    """The ray of every pixel: unit direction, and moment over the camera's distance from the origin (1 at most)."""
    origins, directions = rays(cameras)
    moments = torch.linalg.cross(origins, directions) / origins.norm(dim=-1, keepdim=True)
    return torch.cat([directions, moments], dim=-1).movedim(-1, 1)


def check_orbit(cameras: Orbit, radius: float, fov_deg: float) -> None:
    """Refuse cameras of another distance or field of view than the prior's, or that are not finite."""
    if not all(torch.isfinite(x).all() for x in (cameras.azimuth_deg, cameras.elevation_deg)):
        raise Prior3dError("joint-view prior: a camera's azimuth or elevation is not finite; mend the input")
    wrong = (cameras.radius - radius).abs().gt(TOLERANCE) | (cameras.fov_deg - fov_deg).abs().gt(TOLERANCE)
    if wrong.any():
        found = int(wrong.nonzero()[0, 0])
        raise Prior3dError(
            f"joint-view prior: camera {found} has radius {float(cameras.radius[found]):g} and "
            f"{float(cameras.fov_deg[found]):g} degrees of view, but the prior knows only {radius:g} and {fov_deg:g}; "
            "make cameras with its method orbit"
        )


def check_images(what: str, images: Float[Tensor, "n channels height width"], size: int) -> None:
    """Refuse images of another size than the prior's, or that are not finite."""
    if images.shape[1:] != (3, size, size):
        raise Prior3dError(
            f"joint-view prior: {what} images {tuple(images.shape)}, expected [n, 3, {size}, {size}]; crop them to "
            "squares and resize them"
        )
    if not torch.isfinite(images).all():
        raise Prior3dError(f"joint-view prior: a {what} image holds values that are not finite; mend the input")


def check_set(text: Float[Tensor, "texts tokens features"], cameras: Orbit, n_given: int, takes_given: bool) -> None:
    """Refuse a set whose cameras, texts and given images do not agree."""
    frames = cameras.views
    if n_given and not takes_given:
        raise Prior3dError(
            f"joint-view prior: {n_given} given images, but its UNet has no channels for a mask and rays, so it can "
            "see them with noise alone; give given_noise too"
        )
    if n_given >= frames:
        raise Prior3dError(
            f"joint-view prior: {n_given} given images and {frames} cameras; give a camera for each given image, then "
            "one or more for views to draw"
        )
    if len(text) not in (1, frames):
        raise Prior3dError(f"joint-view prior: {len(text)} texts for {frames} frames; give one, or one a frame")


def check_start(n_start: int, strength: float, sets: int, wanted: int) -> None:
    """Refuse starting images that are not those of the wanted views, a strength out of range, and no sets."""
    if sets < 1:
        raise Prior3dError(f"joint-view prior: {sets} sets; draw at least 1")
    if not 0 < strength <= 1:
        raise Prior3dError(f"joint-view prior: strength {strength:g}; use above 0 and up to 1")
    if not n_start and strength < 1:
        raise Prior3dError(f"joint-view prior: strength {strength:g} needs start: images of the wanted views")
    if n_start and n_start not in (wanted, sets * wanted):
        raise Prior3dError(
            f"joint-view prior: {n_start} starting images for {sets} sets of {wanted} wanted views; give "
            f"{' or '.join(str(n) for n in sorted({wanted, sets * wanted}))}"
        )


def check_candidates(
    images: Float[Tensor, "images 3 height width"],
    cameras: Orbit,
    text: Float[Tensor, "texts tokens features"],
    timesteps: list[int],
    n_timesteps: int,
) -> int:
    """The number of candidates; refuses images, cameras and texts that are neither one nor so many."""
    found = {"images": len(images), "cameras": cameras.views, "texts": len(text)}
    n = max(found.values())
    if any(value not in (1, n) for value in found.values()):
        said = ", ".join(f"{value} {name}" for name, value in found.items())
        raise Prior3dError(f"joint-view prior: {said}; give the same number of each, or one")
    if not timesteps or not all(0 <= t < n_timesteps for t in timesteps):
        raise Prior3dError(f"joint-view prior: timesteps {timesteps}; give some of 0 to {n_timesteps - 1}")
    return n
