"""A frozen view-conditioned diffusion model: posed pictures in, other views of the same thing out.

SparseFusion's prior (Zhou and Tulsiani 2023): an epipolar feature transformer says what the pictures tell about a
wanted view, pixel by pixel; a diffusion model conditioned on that draws the view's latents. The embedded one is small
and trained from nothing, because a condition that is aligned with the latents leaves little to find out.

Latents are always at the *scaled* level, as the UNet sees them; images are RGB in [0, 1]; all is float32 outside. The
object is about the origin, in a ball of `radius`; cameras are OpenGL.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.priors import loading
from prior3d.priors.epipolar import EpipolarConfig, EpipolarTransformer
from prior3d.priors.text_to_image import falling_timesteps, noise_from_velocity

MOST_CONTEXTS = 10
QUERIES_AT_ONCE = 8  # bounds the memory of the epipolar transformer
COMPONENTS = ("unet", "epipolar", "vae", "scheduler")
EPIPOLAR_WEIGHTS = "model.safetensors"


class ViewsPrior:
    """The networks of one views folder.

    Attributes:
        latent_channels, latent_size, image_size: of one square view.
        scaling_factor: what the VAE's latents are multiplied by.
        radius: of the ball about the origin that holds the object, in world units.
        alphas_cumprod: [n_timesteps] cumulative alpha, on the prior's device.
    """

    def __init__(self, *, unet: Any, epipolar: EpipolarTransformer, vae: Any, scheduler: Any) -> None:
        """Take the four components; they are used as they are."""
        self.unet, self.epipolar, self.vae = unet, epipolar, vae
        self.device, self.dtype = unet.device, unet.dtype
        self.latent_channels: int = vae.config.latent_channels
        self.latent_size, self.image_size = epipolar.config.rays, epipolar.config.image_size
        self.scaling_factor: float = vae.config.scaling_factor
        self.radius: float = epipolar.config.radius
        self.prediction_type: str = scheduler.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise Prior3dError(
                f"prior: scheduler/ says prediction_type {self.prediction_type!r}; only epsilon and v_prediction "
                "are supported"
            )
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod.to(self.device, torch.float32)

    @property
    def n_timesteps(self) -> int:
        """How many noise levels the prior was trained on, usually 1000."""
        return len(self.alphas_cumprod)

    def features(self, images: Tensor, cameras: Cameras, query: Cameras) -> Tensor:
        """What the pictures tell about wanted views: [queries, channels, latent_size, latent_size], for `predict`.

        Args:
            images: [contexts, 3, image_size, image_size] in [0, 1], 1 to 10 of them, in any order.
            cameras: [contexts] theirs.
            query: [queries] the wanted ones.

        Raises:
            Prior3dError: none or too many pictures, of another size, not finite, or without a camera each.
        """
        return self.features_and_regression(images, cameras, query)[0]

    def regression(self, images: Tensor, cameras: Cameras, query: Cameras) -> Tensor:
        """The epipolar transformer's own picture of each wanted view, a blurred mean where the pictures leave doubt.

        Args and errors as in `features`; [queries, 3, image_size, image_size] in [0, 1].
        """
        return self.features_and_regression(images, cameras, query)[1]

    @torch.no_grad()
    def features_and_regression(self, images: Tensor, cameras: Cameras, query: Cameras) -> tuple[Tensor, Tensor]:
        """Both of one pass, which is most of the work of either."""
        self._check(images, cameras)
        given, cameras, query = images.to(self.device).float()[None], cameras.to(self.device), query.to(self.device)
        found = []
        for first in range(0, query.views, QUERIES_AT_ONCE):
            features, pictures = self.epipolar(given, cameras, query[slice(first, first + QUERIES_AT_ONCE)])
            found.append((self.epipolar.condition(features, pictures), pictures))
        conditions, regressed = zip(*found, strict=True)
        return torch.cat(conditions), torch.cat(regressed)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images [views, 3, height, width] in [0, 1] to scaled latents; differentiable."""
        posterior = self.vae.encode((images * 2 - 1).to(self.dtype)).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        return latents.float() * self.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [views, channels, h, w] to images [views, 3, height, width] in [0, 1]; differentiable."""
        images = self.vae.decode((latents / self.scaling_factor).to(self.dtype)).sample.float()
        return (images / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def predict(self, noisy: Tensor, timesteps: Tensor, features: Tensor, guidance_scale: float = 1.0) -> Tensor:
        """Predict the noise with classifier-free guidance, eps_0 + s (eps_c - eps_0), in one batched call.

        Args:
            noisy: [views, channels, h, w] noised scaled latents.
            timesteps: [views] whole numbers in 0 .. n_timesteps - 1.
            features: [views, channels, h, w] of `features`; guidance moves away from zeros in their place.
            guidance_scale: s; 1 means no guidance (and half the work).

        Returns:
            [views, channels, h, w] noise; v-predictions are converted. No gradient passes.
        """
        guided = guidance_scale != 1
        condition = torch.cat([torch.zeros_like(features), features]) if guided else features
        repeat = 2 if guided else 1
        given = torch.cat([noisy.repeat(repeat, 1, 1, 1), condition], dim=1).to(self.dtype)
        output = self.unet(given, timesteps.repeat(repeat), return_dict=False)[0].float()
        if guided:
            without, with_features = output.chunk(2)
            output = without + guidance_scale * (with_features - without)
        if self.prediction_type == "epsilon":
            return output
        return noise_from_velocity(noisy, output, self._alphas(timesteps))

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Diffuse latents forward: sqrt(alpha_bar) z + sqrt(1 - alpha_bar) noise, with [views] timesteps."""
        alphas = self._alphas(timesteps)
        return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise

    @torch.no_grad()
    def denoise(self, noisy: Tensor, timesteps: list[int], features: Tensor, guidance_scale: float = 1.0) -> Tensor:
        """Run deterministic DDIM (Song et al. 2021, eq. 12 with sigma 0) down a list of timesteps to clean latents.

        Args:
            noisy: [views, channels, h, w], at the noise level of `timesteps[0]`.
            timesteps: falling; the last prediction is of the clean latents.
            features: as in `predict`, like the scale.
            guidance_scale: 1 means none.

        Raises:
            Prior3dError: there is no timestep.
        """
        latents = noisy
        for step, timestep in enumerate(timesteps):
            at = torch.full((len(latents),), timestep, device=self.device)
            noise = self.predict(latents, at, features, guidance_scale)
            alpha = self.alphas_cumprod[timestep]
            clean = (latents - (1 - alpha).sqrt() * noise) / alpha.sqrt()
            if step + 1 == len(timesteps):
                return clean
            next_alpha = self.alphas_cumprod[timesteps[step + 1]]
            latents = next_alpha.sqrt() * clean + (1 - next_alpha).sqrt() * noise
        raise Prior3dError("denoise: the list of timesteps is empty; give at least one")

    @torch.no_grad()
    def sample(
        self,
        images: Tensor,
        cameras: Cameras,
        query: Cameras,
        *,
        guidance_scale: float = 1.0,
        n_steps: int = 20,
        generator: torch.Generator,
    ) -> Tensor:
        """Draw each wanted view by itself: [queries, 3, image_size, image_size], repeatable from the generator.

        The views agree only as far as the pictures determine them. Args and errors as in `features`.
        """
        return self.draw(
            self.features(images, cameras, query), guidance_scale=guidance_scale, n_steps=n_steps, generator=generator
        )

    @torch.no_grad()
    def draw(
        self, features: Tensor, *, guidance_scale: float = 1.0, n_steps: int = 20, generator: torch.Generator
    ) -> Tensor:
        """Draw views from features [views, channels, h, w] that are known already, as `sample` does."""
        shape = (len(features), self.latent_channels, self.latent_size, self.latent_size)
        noise = torch.randn(shape, generator=generator, device=generator.device).to(self.device)
        timesteps = falling_timesteps(self.n_timesteps - 1, n_steps)
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

    def _alphas(self, timesteps: Tensor) -> Tensor:
        """alpha_bar at each timestep, shaped to multiply latents: [views, 1, 1, 1]."""
        return self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)


def load_views(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> ViewsPrior:
    """Load a frozen views prior from local safetensors files only.

    Args:
        folder: `model_index.json`, `unet/`, `epipolar/`, `vae/` and `scheduler/`, as the stage `views` writes them.
        device: where the networks go.
        dtype: precision of the UNet and the VAE; the epipolar transformer, which does geometry, stays in float32.

    Raises:
        Prior3dError: as `check_views_folder`, and if a weight is missing, misshapen, superfluous or not finite.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DModel

    folder = Path(folder)
    check_views_folder(folder)
    unet = loading._load_network(UNet2DModel, folder / "unet", "unet", dtype).to(device)
    vae = loading._load_network(AutoencoderKL, folder / "vae", "vae", dtype).to(device)
    scheduler = DDIMScheduler.from_config(loading._read_json(folder / "scheduler" / "scheduler_config.json"))
    return ViewsPrior(unet=unet, epipolar=load_epipolar(folder / "epipolar").to(device), vae=vae, scheduler=scheduler)


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
    kind = loading._read_json(folder / "model_index.json").get("_class_name")
    if kind != "ViewsPrior":
        raise Prior3dError(f"prior {folder}: it is a {kind}, not a views prior; give one made for the role views")
    missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
    if missing:
        raise Prior3dError(f"prior {folder}: it lacks {', '.join(m + '/' for m in missing)}; complete the folder")
    for name in ("unet", "vae"):
        for file in loading.weight_files(folder / name, name)[0]:
            loading.check_safetensors(file)
    _epipolar_weights(folder / "epipolar")
    config = epipolar_config(folder / "epipolar")
    unet, vae = (loading._read_json(folder / name / "config.json") for name in ("unet", "vae"))
    found = (unet.get("in_channels"), unet.get("sample_size"))
    expected = (vae.get("latent_channels", 4) + config.condition_channels, config.rays)
    if found != expected:
        raise Prior3dError(
            f"prior {folder}: its UNet takes {found[0]} channels of side {found[1]}, but vae/ and epipolar/ make "
            f"{expected[0]} of side {expected[1]}; they are from different models"
        )


def save_epipolar(epipolar: EpipolarTransformer, folder: Path) -> None:
    """Write `config.json` and the weights in half precision."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(epipolar.config), indent=2) + "\n")
    weights = {name: tensor.detach().half().contiguous().cpu() for name, tensor in epipolar.state_dict().items()}
    save_file(weights, folder / EPIPOLAR_WEIGHTS, {"format": "pt"})


def load_epipolar(folder: Path) -> EpipolarTransformer:
    """Read what `save_epipolar` wrote, frozen, in float32 and in evaluation mode, on the CPU.

    Raises:
        Prior3dError: a file is missing or broken, or the weights are not those of the configuration, or not finite.
    """
    from safetensors.torch import load_file

    file = _epipolar_weights(folder)
    epipolar = EpipolarTransformer(epipolar_config(folder))
    weights, expected = load_file(file), epipolar.state_dict()
    wrong = sorted(
        name
        for name in weights.keys() | expected.keys()
        if name not in weights or name not in expected or weights[name].shape != expected[name].shape
    )
    if wrong:
        raise Prior3dError(
            f"prior component {folder}: {wrong[0]} is missing, superfluous or misshapen ({len(wrong)} such); "
            "config.json and the weights are from different models"
        )
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise Prior3dError(
                f"prior component {folder}: {name} holds values that are not finite; fetch or train it again"
            )
    epipolar.load_state_dict(weights)
    return epipolar.requires_grad_(False).eval()


def epipolar_config(folder: Path) -> EpipolarConfig:
    """Read `epipolar/config.json`.

    Raises:
        Prior3dError: it is missing, not JSON, or lacks a size or has one too many.
    """
    content = loading._read_json(folder / "config.json")
    names = {field.name for field in fields(EpipolarConfig)}
    if content.keys() != names:
        raise Prior3dError(
            f"prior file {folder / 'config.json'}: lacks {sorted(names - content.keys())} and has unknown "
            f"{sorted(content.keys() - names)}; fetch or train it again"
        )
    return EpipolarConfig(**content | {"channels": tuple(content["channels"])})


def _epipolar_weights(folder: Path) -> Path:
    """The file of an epipolar transformer's weights, whole as far as its header says."""
    file = folder / EPIPOLAR_WEIGHTS
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in loading.PICKLE_SUFFIXES)
    if not file.is_file() and pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {EPIPOLAR_WEIGHTS}"
        )
    loading.check_safetensors(file)
    return file
