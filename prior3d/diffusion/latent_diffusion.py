"""A frozen latent diffusion model: what the priors of all roles are made of.

Latents are always at the *scaled* level, as the UNet sees them; images are RGB in [0, 1]; all is float32 outside.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.camera_embedding import CAMERA_DIM, no_camera
from prior3d.diffusion.folders import check_prior_folder, read_json
from prior3d.diffusion.graphs import EncoderCalls, OpenvinoCalls, UnetCalls
from prior3d.diffusion.guidance import Conditioning, perp_neg, rescaled
from prior3d.diffusion.networks import GradientScale, load_network, one_line
from prior3d.diffusion.prompt_encoder import PromptEncoder
from prior3d.diffusion.scheduling import Schedule, ddim, diffusion_schedule
from prior3d.errors import Prior3dError
from prior3d.sending import sent
from prior3d.settings import Engine

SD_SCALE, SD_WIDTHS = 0.18215, (128, 256, 512, 512)  # of Stable Diffusion's autoencoder, 1.x and 2.x


class LatentDiffusion:
    """The networks of one diffusers folder, and the few numbers that methods need to know about them.

    Attributes:
        latent_channels, latent_size, image_size: of one square view; the size is the one the UNet was trained at.
        scaling_factor: what the VAE's latents are multiplied by.
        has_sd_latents: whether the VAE has the scale and widths of Stable Diffusion's, so that latents mean the same.
        camera_conditioned: whether the UNet takes `camera_embedding` as its class label.
        unet_calls, encoder_calls: how the networks are called, see `prior3d.diffusion.graphs`.
        schedule: of the noise, and what the UNet says of it; on the UNet's device.
    """

    def __init__(self, *, unet: Any, vae: Any, schedule: Schedule, prompts: PromptEncoder | None = None) -> None:
        """Take the networks of a diffusers pipeline as they are; `prompts` is None for a UNet that takes no text.

        Raises:
            Prior3dError: the UNet is not for squares.
        """
        self.unet, self.vae, self._prompts = unet, vae, prompts
        self.device: torch.device = unet.device
        self.dtype: torch.dtype = unet.dtype
        self.latent_channels: int = vae.config.latent_channels
        self.latent_size: int = _square(unet.config.sample_size)
        self.image_size: int = self.latent_size * 2 ** (len(vae.config.block_out_channels) - 1)
        self.scaling_factor: float = vae.config.scaling_factor
        widths = tuple(vae.config.block_out_channels)
        self.has_sd_latents: bool = (self.scaling_factor, widths) == (SD_SCALE, SD_WIDTHS)
        self.camera_conditioned: bool = (
            unet.config.class_embed_type == "projection"
            and unet.config.projection_class_embeddings_input_dim == CAMERA_DIM
        )
        self.unet_calls: UnetCalls | OpenvinoCalls = UnetCalls(unet)
        self.encoder_calls = EncoderCalls(self._mode, self.device)
        self.schedule = schedule

    def use_engine(self, engine: Engine) -> None:
        """Say what runs the UNet: `torch`, as it is at first, or `openvino`.

        Raises:
            Prior3dError: OpenVINO is not installed, or the UNet is not on the CPU.
        """
        if engine == "openvino":
            self.unet_calls = OpenvinoCalls(self.unet, self.dtype)

    @property
    def n_timesteps(self) -> int:
        """How many noise levels the UNet was trained on, usually 1000."""
        return self.schedule.n_timesteps

    @property
    def prompts(self) -> PromptEncoder:
        """The text side (raises Prior3dError where there is none)."""
        if self._prompts is None:
            raise Prior3dError("prior: this one takes no text; give one of another role")
        return self._prompts

    def encode(
        self, images: Float[Tensor, "views 3 height width"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "views channels h w"]:
        """Images in [0, 1] to scaled latents; differentiable.

        With a generator they are drawn from the encoder's posterior (as in training), without it they are its mode.
        """
        passage = GradientScale(self.dtype)
        entered = passage.into(images * 2 - 1)
        if generator is None:
            latents = self.encoder_calls(entered)
        else:
            latents = self.vae.encode(entered).latent_dist.sample(generator)
        return passage.out_of(latents) * self.scaling_factor

    def _mode(self, images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views channels h w"]:
        """The mode of the encoder's posterior, of images in [-1, 1] and the network's precision."""
        latents: Tensor = self.vae.encode(images).latent_dist.mode()
        return latents

    def recompute_encoder(self) -> None:
        """Let the VAE compute its blocks again in the backward pass: the same gradients, less memory, more work."""
        self.encoder_calls.capturing = False  # a graph would keep what is to be computed again
        self.vae.enable_gradient_checkpointing()

    def decode(self, latents: Float[Tensor, "views channels h w"]) -> Float[Tensor, "views 3 height width"]:
        """Scaled latents to images in [0, 1]; differentiable."""
        passage = GradientScale(self.dtype)
        images = passage.out_of(self.vae.decode(passage.into(latents / self.scaling_factor)).sample)
        return (images / 2 + 0.5).clamp(0, 1)

    def network(
        self,
        seen: Float[Tensor, "seen channels_in h w"],
        timesteps: Int[Tensor, "views"],
        text: Float[Tensor, "all tokens width"] | None = None,
        camera: Float[Tensor, "views 16"] | None = None,
    ) -> Float[Tensor, "all channels_out h w"]:
        """Call the UNet once, without guidance: what it says, float32, noise or velocity; differentiable.

        Args:
            seen: one a view or one a text; repeated, with timesteps and cameras, until there is one a text.
            timesteps: of the views.
            text: their number is a multiple of the views. None for a UNet that takes no text.
            camera: of the views; None: "no camera".

        Raises:
            Prior3dError: a camera was given to a UNet that takes none.
        """
        if text is None:
            return self.unet_calls(seen.to(self.dtype), timesteps).float()
        n_views, n = len(timesteps), len(text)
        labels = self._class_labels(n_views, camera)
        return self.unet_calls(
            seen.to(self.dtype).repeat(n // len(seen), 1, 1, 1),
            timesteps.repeat(n // n_views),
            text.to(self.dtype),
            None if labels is None else labels.repeat(n // n_views, 1),
        ).float()

    @torch.no_grad()
    def predict(
        self,
        noisy: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
        conditioning: Conditioning,
        condition: Float[Tensor, "views further h w"] | None = None,
    ) -> Float[Tensor, "views channels h w"]:
        """Predict the noise with classifier-free guidance on the text, in one batched call.

        Args:
            noisy: noised scaled latents.
            timesteps: in 0 .. n_timesteps - 1.
            conditioning: texts and cameras; without guidance the work is half.
            condition: further channels that the UNet sees behind `noisy`, with and without the text.

        Returns:
            noise; velocities are converted. No gradient passes.
        """
        asked = conditioning
        if asked.guidance_scale == 1:
            seen = noisy if condition is None else torch.cat([noisy, condition], dim=1)
            text = asked.text.expand(len(noisy), -1, -1)
            return self.to_noise(noisy, self.network(seen, timesteps, text, asked.camera), timesteps)
        return self.to_noise(noisy, self.outputs(noisy, timesteps, asked, condition)[0], timesteps)

    @torch.no_grad()
    def outputs(
        self,
        noisy: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
        conditioning: Conditioning,
        condition: Float[Tensor, "views further h w"] | None = None,
    ) -> tuple[Float[Tensor, "views channels h w"], ...]:
        """The network's own outputs, of one batched call: guided, for the text, and for the null text."""
        asked, n = conditioning, len(noisy)
        text, null_text = (t.expand(n, -1, -1) for t in (asked.text, asked.null_text))
        seen = noisy if condition is None else torch.cat([noisy, condition], dim=1)
        further = () if asked.negatives is None else asked.negatives.expand(-1, n, -1, -1)
        output = self.network(seen, timesteps, torch.cat([null_text, text, *further]), asked.camera)
        without, with_text, *negatives = output.split(n)
        if asked.negative_weights is None:
            found = guided(without, with_text, asked.guidance_scale)
        else:
            weights = asked.negative_weights.to(output.device)
            found = perp_neg(without, with_text, torch.stack(negatives), weights, asked.guidance_scale)
        return rescaled(found, with_text, asked.rescale) if asked.rescale else found, with_text, without

    def to_noise(
        self,
        noisy: Float[Tensor, "views channels h w"],
        output: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """What the UNet said of `noisy`, as noise."""
        return self.schedule.noise_of(noisy, output, timesteps)

    def training_target(
        self,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """What the UNet was trained to say of latents with this noise: the noise or a velocity."""
        return self.schedule.said_of(latents, noise, timesteps)

    def add_noise(
        self,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """Diffuse latents forward to timesteps."""
        return self.schedule.add_noise(latents, noise, timesteps)

    @torch.no_grad()
    def denoise(
        self,
        noisy: Float[Tensor, "views channels h w"],
        timesteps: list[int],
        predict: Callable[
            [Float[Tensor, "views channels h w"], Int[Tensor, "views"]], Float[Tensor, "views channels h w"]
        ],
    ) -> Float[Tensor, "views channels h w"]:
        """Run deterministic DDIM down a list of timesteps to clean latents, see `ddim`."""
        return ddim(noisy, timesteps, self.schedule, predict)

    def draw_noise(
        self, n_views: int, generator: torch.Generator, size: tuple[int, int] | None = None
    ) -> Float[Tensor, "{n_views} channels h w"]:
        """Standard normal latents, drawn on the generator's device; None: `latent_size`."""
        height, width = size or (self.latent_size, self.latent_size)
        shape = (n_views, self.latent_channels, height, width)
        return sent(torch.randn(shape, generator=generator, device=generator.device), self.device)

    def _class_labels(self, n_views: int, camera: Tensor | None) -> Tensor | None:
        """The camera in the UNet's precision, "no camera" where none is given, None for priors that take none."""
        if not self.camera_conditioned:
            if camera is not None:
                raise Prior3dError(
                    "prior: a camera was given to a prior that takes none; switch camera conditioning off"
                )
            return None
        return sent(no_camera(n_views) if camera is None else camera, self.device).to(self.dtype)


def load_latent_diffusion(folder: Path, role: str, device: torch.device, dtype: torch.dtype) -> LatentDiffusion:
    """The networks of a folder of that role, checked and frozen."""
    from diffusers import UNet2DConditionModel  # seconds to import, and only loading needs it

    check_prior_folder(folder, role)
    return with_text(folder, load_network(UNet2DConditionModel, folder / "unet", "unet", dtype), device, dtype)


def with_text(folder: Path, unet: Any, device: torch.device, dtype: torch.dtype) -> LatentDiffusion:
    """A UNet with the other networks of its folder; convolutions lie channels-last, which is faster."""
    # seconds to import, and only loading needs them
    from diffusers import AutoencoderKL, DDIMScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

    unet = unet.to(device)
    vae = load_network(AutoencoderKL, folder / "vae", "vae", dtype).to(device)
    text_encoder = load_network(CLIPTextModel, folder / "text_encoder", "text_encoder", dtype).to(device)
    unet, vae = (network.to(memory_format=torch.channels_last) for network in (unet, vae))
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Prior3dError(f"prior {folder}: cannot read tokenizer/: {one_line(error)}; restore that folder") from error
    n_embedded = text_encoder.config.vocab_size
    if len(tokenizer) > n_embedded:
        raise Prior3dError(
            f"prior {folder}: tokenizer/ has {len(tokenizer)} words, but text_encoder/ knows {n_embedded}; "
            "they are from different models"
        )
    scheduler = DDIMScheduler.from_config(read_json(folder / "scheduler" / "scheduler_config.json"))
    schedule, prompts = diffusion_schedule(scheduler, device), PromptEncoder(text_encoder, tokenizer)
    return LatentDiffusion(unet=unet, vae=vae, schedule=schedule, prompts=prompts)


def guided(
    without: Float[Tensor, "views channels h w"], with_condition: Float[Tensor, "views channels h w"], scale: float
) -> Float[Tensor, "views channels h w"]:
    """Classifier-free guidance (Ho and Salimans 2022), written as e_0 + s (e_c - e_0)."""
    return without + scale * (with_condition - without)


def _square(size: int | list[int] | tuple[int, int]) -> int:
    """The side of a square sample size, which diffusers also writes as a pair."""
    if isinstance(size, int):
        return size
    if len(set(size)) != 1:
        raise Prior3dError(f"prior: its UNet was trained at {tuple(size)} latents; only square priors are supported")
    return size[0]
