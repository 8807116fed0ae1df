"""A frozen view-conditioned diffusion model: posed pictures in, other views of the same thing out.

SparseFusion's prior (Zhou and Tulsiani 2023): an epipolar feature transformer says what the pictures tell about a
wanted view, pixel by pixel; a diffusion model conditioned on that draws the view's latents. The embedded one is small
and trained from nothing, because a condition that is aligned with the latents leaves little to find out.

Latents are always at the *scaled* level, as the UNet sees them; images are RGB in [0, 1]; all is float32 outside. The
object is about the origin, in a ball of `radius`; cameras are OpenGL.
"""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.epipolar import EpipolarTransformer
from prior3d.diffusion.epipolar_files import epipolar_config, load_epipolar
from prior3d.diffusion.folders import check_safetensors, read_json, weight_files
from prior3d.diffusion.latent_diffusion import LatentDiffusion, guided
from prior3d.diffusion.networks import load_network
from prior3d.diffusion.own_networks import own_weights
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.scheduling import descending_timesteps, diffusion_schedule
from prior3d.errors import Prior3dError

COMPONENTS = ("unet", "epipolar", "vae", "scheduler")
MOST_CONTEXTS = 10
QUERIES_AT_ONCE = 8  # bounds the memory of the epipolar transformer


class ViewsPrior(DiffusionPrior):
    """The networks of one views folder: a UNet that takes no text, and the transformer that makes its condition.

    Attributes:
        radius: of the ball about the origin that holds the object, in world units.
    """

    def __init__(self, diffusion: LatentDiffusion, epipolar: EpipolarTransformer) -> None:
        """Take both as they are."""
        super().__init__(diffusion)
        self.epipolar = epipolar
        self.radius: float = epipolar.config.radius

    def features(
        self, images: Float[Tensor, "contexts 3 height width"], cameras: Cameras, query: Cameras
    ) -> Float[Tensor, "queries features h w"]:
        """What the pictures tell about wanted views, for `predict`.

        They are the transformer's feature map and the latents of its picture; the latter are beyond the paper, and let
        a small diffusion model begin with what regression knows.

        Args:
            images: in [0, 1], at the prior's image_size, 1 to 10 of them, in any order.
            cameras: theirs.
            query: the wanted ones.

        Raises:
            Prior3dError: none or too many pictures, of another size, not finite, or without a camera each.
        """
        return self.features_and_regression(images, cameras, query)[0]

    def regression(
        self, images: Float[Tensor, "contexts 3 height width"], cameras: Cameras, query: Cameras
    ) -> Float[Tensor, "queries 3 height width"]:
        """The epipolar transformer's own picture of each wanted view, a blurred mean where the pictures leave doubt.

        Args and errors as in `features`; in [0, 1].
        """
        return self.features_and_regression(images, cameras, query)[1]

    @torch.no_grad()
    def features_and_regression(
        self, images: Float[Tensor, "contexts 3 height width"], cameras: Cameras, query: Cameras
    ) -> tuple[Float[Tensor, "queries features h w"], Float[Tensor, "queries 3 height width"]]:
        """Both of one pass, which is most of the work of either."""
        self._check(images, cameras)
        given, cameras, query = images.to(self.device).float()[None], cameras.to(self.device), query.to(self.device)
        found = []
        for first in range(0, query.views, QUERIES_AT_ONCE):
            features, pictures = self.epipolar(given, cameras, query[slice(first, first + QUERIES_AT_ONCE)])
            found.append((torch.cat([features, self.encode(pictures)], dim=1), pictures))
        conditions, regressed = zip(*found, strict=True)
        return torch.cat(conditions), torch.cat(regressed)

    @torch.no_grad()
    def predict(
        self,
        noisy: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
        features: Float[Tensor, "views features h w"],
        guidance_scale: float = 1.0,
    ) -> Float[Tensor, "views channels h w"]:
        """Predict the noise with classifier-free guidance, eps_0 + s (eps_c - eps_0), in one batched call.

        Args:
            noisy: noised scaled latents.
            timesteps: in 0 .. n_timesteps - 1.
            features: of the method `features`; guidance moves away from zeros in their place.
            guidance_scale: s; 1 means no guidance (and half the work).

        Returns:
            noise; v-predictions are converted. No gradient passes.
        """
        network = self.diffusion.network
        if guidance_scale == 1:
            output = network(torch.cat([noisy, features], dim=1), timesteps)
        else:
            conditions = torch.cat([torch.zeros_like(features), features])
            seen = torch.cat([noisy.repeat(2, 1, 1, 1), conditions], dim=1)
            without, with_features = network(seen, timesteps.repeat(2)).chunk(2)
            output = guided(without, with_features, guidance_scale)
        return self.diffusion.to_noise(noisy, output, timesteps)

    @torch.no_grad()
    def denoise(
        self,
        noisy: Float[Tensor, "views channels h w"],
        timesteps: list[int],
        features: Float[Tensor, "views features h w"],
        guidance_scale: float = 1.0,
    ) -> Float[Tensor, "views channels h w"]:
        """Run deterministic DDIM (Song et al. 2021, eq. 12 with sigma 0) down a list of timesteps to clean latents.

        Args:
            noisy: at the noise level of `timesteps[0]`.
            timesteps: descending; the last prediction is of the clean latents.
            features: as in `predict`, like the scale.
            guidance_scale: 1 means none.

        Raises:
            Prior3dError: there is no timestep.
        """
        return self.diffusion.denoise(
            noisy, timesteps, lambda latents, at: self.predict(latents, at, features, guidance_scale)
        )

    @torch.no_grad()
    def sample(
        self,
        images: Float[Tensor, "contexts 3 height width"],
        cameras: Cameras,
        query: Cameras,
        *,
        guidance_scale: float = 1.0,
        num_inference_steps: int = 20,
        generator: torch.Generator,
    ) -> Float[Tensor, "queries 3 height width"]:
        """Draw each wanted view by itself, repeatable from the generator.

        The views agree only as far as the pictures determine them. Args and errors as in `features`.
        """
        features = self.features(images, cameras, query)
        return self.draw(
            features, guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, generator=generator
        )

    @torch.no_grad()
    def draw(
        self,
        features: Float[Tensor, "views features h w"],
        *,
        guidance_scale: float = 1.0,
        num_inference_steps: int = 20,
        generator: torch.Generator,
    ) -> Float[Tensor, "views 3 height width"]:
        """Draw views from features that are known already, as `sample` does."""
        noise = self.diffusion.draw_noise(len(features), generator)
        timesteps = descending_timesteps(self.n_timesteps - 1, num_inference_steps)
        return self.decode(self.denoise(noise, timesteps, features, guidance_scale))

    def _check(self, images: Tensor, cameras: Cameras) -> None:
        """Refuse pictures that the prior cannot use, saying why."""
        if not 1 <= len(images) <= MOST_CONTEXTS:
            raise Prior3dError(f"views prior: {len(images)} pictures; give between 1 and {MOST_CONTEXTS}")
        if images.shape[1:] != (3, self.image_size, self.image_size):
            raise Prior3dError(
                f"views prior: pictures {tuple(images.shape)}, expected [contexts, 3, {self.image_size}, "
                f"{self.image_size}]; crop them to squares and resize them"
            )
        if cameras.views != len(images):
            raise Prior3dError(f"views prior: {len(images)} pictures but {cameras.views} cameras; give one a picture")
        if not (torch.isfinite(images).all() and torch.isfinite(cameras.c2w).all()):
            raise Prior3dError("views prior: a picture or a camera holds values that are not finite; mend the input")


def load_views(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> ViewsPrior:
    """Load a frozen views prior from local safetensors files only.

    Args:
        folder: `model_index.json`, `unet/`, `epipolar/`, `vae/` and `scheduler/`, as the stage `views` writes them.
        device: where the networks go.
        dtype: precision of the UNet and the VAE; the epipolar transformer, which does geometry, stays in float32.

    Raises:
        Prior3dError: as `check_views_folder`, and if a weight is missing, misshapen, superfluous or not finite.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DModel  # seconds to import, and only loading needs it

    folder = Path(folder)
    check_views_folder(folder)
    unet = load_network(UNet2DModel, folder / "unet", "unet", dtype).to(device)
    vae = load_network(AutoencoderKL, folder / "vae", "vae", dtype).to(device)
    scheduler = DDIMScheduler.from_config(read_json(folder / "scheduler" / "scheduler_config.json"))
    diffusion = LatentDiffusion(unet=unet, vae=vae, schedule=diffusion_schedule(scheduler, device))
    return ViewsPrior(diffusion, load_epipolar(folder / "epipolar").to(device))


def check_views_folder(folder: Path) -> None:
    """Check that a folder can serve as a views prior, without loading a tensor.

    Raises:
        Prior3dError: folder or component missing, of another role, weights pickled or truncated, parts that do not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Prior3dError(f"prior {folder}: no such folder; give a views prior's folder")
    if not (folder / "model_index.json").is_file():
        raise Prior3dError(f"prior {folder}: it has no model_index.json, so it is not a views prior")
    kind = read_json(folder / "model_index.json").get("_class_name")
    if kind != "ViewsPrior":
        raise Prior3dError(f"prior {folder}: it is a {kind}, not a views prior; give one made for the role views")
    missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
    if missing:
        raise Prior3dError(f"prior {folder}: it lacks {', '.join(m + '/' for m in missing)}; complete the folder")
    for name in ("unet", "vae"):
        for file in weight_files(folder / name, name)[0]:
            check_safetensors(file)
    own_weights(folder / "epipolar")
    config = epipolar_config(folder / "epipolar")
    unet, vae = (read_json(folder / name / "config.json") for name in ("unet", "vae"))
    found = (unet.get("in_channels"), unet.get("sample_size"))
    expected = (2 * vae.get("latent_channels", 4) + config.features, config.rays)  # noisy, features, regression
    if found != expected:
        raise Prior3dError(
            f"prior {folder}: its UNet takes {found[0]} channels of side {found[1]}, but vae/ and epipolar/ make "
            f"{expected[0]} of side {expected[1]}; they are from different models"
        )
