"""Cameras: the convention, orbits round the object, view words, viewing directions, converters to other conventions.

World: right-handed, z up; the object's front looks along +x. Camera: OpenGL axes (x right, y up, looking along -z).
Azimuth 0 is a camera on +x (it sees the front), counter-clockwise from above; elevation 0 is the horizon, 90 the top.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.sending import sent

LARGEST_SIDE = 100_000  # pixels


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras with square pixels and a centred principal point.

    Attributes:
        c2w: [views, 4, 4] camera-to-world, OpenGL axes.
        fov_deg: [views] vertical field of view in degrees.
        height: image height in pixels.
        width: image width in pixels.
    """

    c2w: Float[Tensor, "views 4 4"]
    fov_deg: Float[Tensor, "views"]
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.c2w.ndim != 3 or self.c2w.shape[1:] != (4, 4) or self.fov_deg.shape != self.c2w.shape[:1]:
            raise Prior3dError(
                f"cameras: found c2w {tuple(self.c2w.shape)} and fov_deg {tuple(self.fov_deg.shape)}, "
                "expected [views, 4, 4] and [views]."
            )

    @property
    def views(self) -> int:
        """Number of cameras."""
        return self.c2w.shape[0]

    @property
    def focal_pixels(self) -> Float[Tensor, "views"]:
        """[views] focal length in pixels."""
        return 0.5 * self.height / torch.tan(0.5 * torch.deg2rad(self.fov_deg))

    @property
    def positions(self) -> Float[Tensor, "views 3"]:
        """[views, 3] camera centres in the world."""
        return self.c2w[:, :3, 3]

    def __getitem__(self, index: int | slice | Int[Tensor, "chosen"] | Bool[Tensor, "views"]) -> "Cameras":
        """The cameras at `index`; an integer gives a batch of one."""
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return Cameras(self.c2w[index], self.fov_deg[index], self.height, self.width)

    def resized(self, height: int, width: int) -> "Cameras":
        """The same cameras with another number of pixels."""
        return Cameras(self.c2w, self.fov_deg, height, width)

    def to(self, device: torch.device | str) -> "Cameras":
        """The same cameras on `device`."""
        return Cameras(sent(self.c2w, device), sent(self.fov_deg, device), self.height, self.width)


@dataclass(frozen=True)
class Orbit:
    """Cameras that look at the origin: tensors [views] of azimuth, elevation, radius (world units), field of view."""

    azimuth_deg: Float[Tensor, "views"]
    elevation_deg: Float[Tensor, "views"]
    radius: Float[Tensor, "views"]
    fov_deg: Float[Tensor, "views"]

    @property
    def views(self) -> int:
        """Number of cameras."""
        return self.azimuth_deg.shape[0]

    def __getitem__(self, index: slice | Int[Tensor, "chosen"] | Bool[Tensor, "views"]) -> "Orbit":
        """The views at `index`."""
        return Orbit(self.azimuth_deg[index], self.elevation_deg[index], self.radius[index], self.fov_deg[index])


@dataclass(frozen=True)
class OrbitRange:
    """Uniform ranges (low, high) to sample orbits from; equal numbers fix the value. Default: the toy prior's."""

    azimuth_deg: tuple[float, float] = (0.0, 360.0)
    elevation_deg: tuple[float, float] = (-10.0, 60.0)
    radius: tuple[float, float] = (3.2, 3.2)
    fov_deg: tuple[float, float] = (40.0, 40.0)


def ring(
    n_views: int, elevation_deg: float = 15.0, radius: float = 3.2, fov_deg: float = 40.0, start_deg: float = 0.0
) -> Orbit:
    """A turntable: n_views azimuths evenly round from `start_deg`, counter-clockwise, at one elevation."""
    azimuth_deg = start_deg + torch.arange(n_views) * (360.0 / n_views)
    fill = torch.full((n_views,), 1.0)
    return Orbit(azimuth_deg, elevation_deg * fill, radius * fill, fov_deg * fill)


def spiral_orbit(
    n_views: int,
    azimuth_deg: tuple[float, float],
    elevation_deg: tuple[float, float],
    radius: float = 3.2,
    fov_deg: float = 40.0,
) -> Orbit:
    """Views that cover two ranges evenly: azimuths by the golden ratio, elevations rising."""
    index = torch.arange(n_views)
    fractions = index * ((5**0.5 - 1) / 2) % 1.0, (index + 0.5) / n_views
    azimuths, elevations = (
        low + (high - low) * fraction
        for (low, high), fraction in zip((azimuth_deg, elevation_deg), fractions, strict=True)
    )
    return Orbit(azimuths, elevations, torch.full((n_views,), radius), torch.full((n_views,), fov_deg))


def orbit_cameras(orbit: Orbit, height: int, width: int) -> Cameras:
    """The cameras of an orbit, upright and looking at the origin (well defined at the poles too)."""
    azimuth, elevation = torch.deg2rad(orbit.azimuth_deg.float()), torch.deg2rad(orbit.elevation_deg.float())
    zero = torch.zeros_like(azimuth)
    back = torch.stack([elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()], -1)
    right = torch.stack([-azimuth.sin(), azimuth.cos(), zero], -1)
    up = torch.linalg.cross(back, right)
    c2w = torch.eye(4, device=azimuth.device).repeat(orbit.views, 1, 1)
    c2w[:, :3, :3] = torch.stack([right, up, back], -1)
    c2w[:, :3, 3] = back * orbit.radius.float()[:, None]
    return Cameras(c2w, orbit.fov_deg.float(), height, width)


def sample_orbit(ranges: OrbitRange, n_views: int, generator: torch.Generator, spread: bool = True) -> Orbit:
    """Draw cameras uniformly from `ranges` (uniform in degrees, as Latent-NeRF draws them).

    Args:
        ranges: the low and high of each quantity.
        n_views: how many.
        generator: on the CPU.
        spread: azimuths evenly apart with one random offset (four views are 90 degrees apart); else independent.
    """

    def uniform(low_high: tuple[float, float]) -> Float[Tensor, "views"]:
        low, high = low_high
        return low + (high - low) * torch.rand(n_views, generator=generator)

    low, high = ranges.azimuth_deg
    if spread:
        steps = torch.arange(n_views) / n_views
        azimuth_deg = low + (high - low) * ((steps + torch.rand(1, generator=generator)) % 1.0)
    else:
        azimuth_deg = uniform(ranges.azimuth_deg)
    return Orbit(azimuth_deg, uniform(ranges.elevation_deg), uniform(ranges.radius), uniform(ranges.fov_deg))


def view_words(orbit: Orbit, front_deg: float = 90.0, overhead_deg: float = 60.0) -> list[str]:
    """Name each view for a prompt.

    Args:
        orbit: the views.
        front_deg: full width of the front sector, centred on azimuth 0; the back sector is as wide. Latent-NeRF: 70.
        overhead_deg: elevation above which a view is "overhead view" whatever its azimuth.

    Returns:
        [views] words out of "front view", "side view", "back view", "overhead view".
    """
    words = []
    for azimuth_deg, elevation_deg in zip(orbit.azimuth_deg.tolist(), orbit.elevation_deg.tolist(), strict=True):
        from_front_deg = abs((azimuth_deg + 180.0) % 360.0 - 180.0)
        if elevation_deg > overhead_deg:
            words.append("overhead view")
        elif from_front_deg < front_deg / 2:
            words.append("front view")
        elif from_front_deg > 180.0 - front_deg / 2:
            words.append("back view")
        else:
            words.append("side view")
    return words


def spread_directions(n: int, start: float = 0.0) -> Float[np.ndarray, "directions 3"]:
    """Evenly spread unit vectors (the golden-angle spiral from one pole to the other).

    Args:
        n: how many.
        start: angle that the spiral is turned by about its axis, in radians.
    """
    index = np.arange(n) + 0.5
    height, angle = 1 - 2 * index / n, np.pi * (1 + 5**0.5) * index + start
    width = np.sqrt(1 - height**2)
    return np.stack([width * np.cos(angle), width * np.sin(angle), height], axis=1)


def spherical_harmonics(
    directions: Float[Tensor, "*directions 3"], degree: int
) -> Float[Tensor, "*directions coefficients"]:
    """Real spherical harmonics of unit directions [n, 3]: [n, (degree + 1)^2], without their constant factors."""
    x, y, z = directions.unbind(-1)
    values = [torch.ones_like(x)]
    if degree >= 1:
        values += [x, y, z]
    if degree >= 2:
        values += [x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1]
    return torch.stack(values, -1)


def opengl_to_opencv(c2w: Float[Tensor, "views 4 4"]) -> Float[Tensor, "views 4 4"]:
    """[views, 4, 4] camera-to-world, OpenGL axes to OpenCV's (x right, y down, looking along +z). Its own inverse."""
    return c2w * c2w.new_tensor([1.0, -1.0, -1.0, 1.0])


def opencv_to_opengl(c2w: Float[Tensor, "views 4 4"]) -> Float[Tensor, "views 4 4"]:
    """[views, 4, 4] camera-to-world, from OpenCV axes to OpenGL's."""
    return opengl_to_opencv(c2w)


def to_nerfstudio(cameras: Cameras, file_paths: list[str]) -> dict[str, Any]:
    """A nerfstudio transforms.json (Blender axes, which are ours): one frame a view, each with its own focal length."""
    frames = []
    for path, matrix, focal in zip(file_paths, cameras.c2w.tolist(), cameras.focal_pixels.tolist(), strict=True):
        frames.append({"file_path": path, "transform_matrix": matrix, "fl_x": focal, "fl_y": focal})
    size = {"w": cameras.width, "h": cameras.height, "cx": cameras.width / 2, "cy": cameras.height / 2}
    return {"camera_model": "OPENCV", **size, "frames": frames}


def from_nerfstudio(transforms: dict[str, Any]) -> Cameras:
    """The inverse of `to_nerfstudio`; focal lengths may stand in the frames or at the top (fl_y, or camera_angle_x).

    Raises:
        Prior3dError: a focal length, an image size or a pose is missing or wrong.
    """
    try:
        height, width = int(transforms["h"]), int(transforms["w"])
        shared = transforms.get("fl_y", transforms.get("fl_x"))
        if shared is None and "camera_angle_x" in transforms:
            shared = 0.5 * width / torch.tan(torch.tensor(0.5 * transforms["camera_angle_x"])).item()
        focal = torch.tensor([float(frame.get("fl_y", shared)) for frame in transforms["frames"]])
        c2w = torch.tensor([frame["transform_matrix"] for frame in transforms["frames"]], dtype=torch.float32)
        if c2w.shape[1:] != (4, 4) or not c2w.isfinite().all():
            raise ValueError("a transform_matrix")
        if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE and (focal > 0).all()):
            raise ValueError(f"{height}x{width} pixels, or a focal length,")
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise Prior3dError(
            f"transforms.json: {str(error)[:120]} is missing or wrong. "
            "It needs h, w, frames[].transform_matrix, and fl_y or camera_angle_x."
        ) from error
    return Cameras(c2w, torch.rad2deg(2 * torch.atan(0.5 * height / focal)), height, width)
