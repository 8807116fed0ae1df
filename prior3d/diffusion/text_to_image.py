"""A frozen latent diffusion model: text, camera and noisy latents in, guided noise out; images to latents and back.

Latents are always at the *scaled* level, as the UNet sees them; images are RGB in [0, 1]; all is float32 outside.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prior3d.diffusion.camera_embedding import CAMERA_DIM, no_camera
from prior3d.errors import Prior3dError

WORD_LEVEL_VOCABULARY = 10_000  # CLIP's own byte-pair vocabulary has 49,408 entries and can spell any word


class TextToImagePrior:
    """The networks of one diffusers folder, and the few numbers that methods need to know about them.

    Attributes:
        latent_channels, latent_size, image_size: of one square view; the size is the one the UNet was trained at.
        scaling_factor: what the VAE's latents are multiplied by.
        camera_conditioned: whether the UNet takes `camera_embedding` as its class label.
        alphas_cumprod: [n_timesteps] cumulative alpha, on the prior's device.
    """

    def __init__(self, *, unet: Any, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> None:
        """Take the five components of a StableDiffusionPipeline; they are used as they are."""
        self.unet, self.vae, self.text_encoder, self.tokenizer = unet, vae, text_encoder, tokenizer
        self.device, self.dtype = unet.device, unet.dtype
        self.latent_channels: int = vae.config.latent_channels
        self.latent_size: int = _square(unet.config.sample_size)
        self.image_size: int = self.latent_size * 2 ** (len(vae.config.block_out_channels) - 1)
        self.scaling_factor: float = vae.config.scaling_factor
        self.camera_conditioned: bool = (
            unet.config.class_embed_type == "projection"
            and unet.config.projection_class_embeddings_input_dim == CAMERA_DIM
        )
        self.prediction_type: str = scheduler.config.prediction_type
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise Prior3dError(
                f"prior: scheduler/ says prediction_type {self.prediction_type!r}; only epsilon and v_prediction "
                "are supported"
            )
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod.to(self.device, torch.float32)
        self._embeddings: dict[str, Tensor] = {}
        self.spelled: dict[str, str] = {}  # words that stand for several tokens (prior3d.diffusion.concepts)

    @property
    def n_timesteps(self) -> int:
        """How many noise levels the prior was trained on, usually 1000."""
        return len(self.alphas_cumprod)

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> Tensor:
        """Encode prompts, each once: [prompts, tokens, width], float32. Too long ones are cut off, as in diffusers."""
        unseen = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._embeddings]
        if unseen and self.text_encoder is None:
            raise Prior3dError(f"prior: the text encoder was freed before {unseen[0]!r} was embedded; embed it earlier")
        for prompt in unseen:  # one by one, so that an embedding never depends on its neighbours in the batch
            tokens = self.tokenise(prompt)
            uses_mask = getattr(self.text_encoder.config, "use_attention_mask", False)
            mask = tokens.attention_mask.to(self.device) if uses_mask else None
            embedding = self.text_encoder(tokens.input_ids.to(self.device), attention_mask=mask)[0]
            self._embeddings[prompt] = embedding.float()
        return torch.cat([self._embeddings[prompt] for prompt in prompts])

    def free_text_encoder(self) -> None:
        """Drop the text encoder's memory; prompts embedded so far stay available."""
        self.text_encoder = None

    def forget_texts(self) -> None:
        """Drop the prompts embedded so far, for a text encoder that is being trained."""
        self._embeddings.clear()

    def unknown_words(self, prompt: str) -> list[str]:
        """Words that a small word-level vocabulary does not hold, in order; always empty for a byte-pair vocabulary."""
        if len(self.tokenizer) >= WORD_LEVEL_VOCABULARY:
            return []
        words = [word.strip(".,;:!?\"'()") for word in prompt.split()]
        unknown = self.tokenizer.unk_token_id
        pieces = {word: self.tokenizer(word, add_special_tokens=False).input_ids for word in words if word}
        return [word for word, ids in pieces.items() if len(ids) != 1 or (ids[0] == unknown and word != "<unk>")]

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images [views, 3, height, width] in [0, 1] to scaled latents; differentiable.

        With a generator they are drawn from the encoder's posterior (as in training), without it they are its mode.
        """
        posterior = self.vae.encode((images * 2 - 1).to(self.dtype)).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        return latents.float() * self.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [views, channels, h, w] to images [views, 3, height, width] in [0, 1]; differentiable."""
        images = self.vae.decode((latents / self.scaling_factor).to(self.dtype)).sample.float()
        return (images / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def predict(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        text: Tensor,
        null_text: Tensor,
        guidance_scale: float,
        camera_embedding: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Predict the noise with classifier-free guidance, eps_u + s (eps_c - eps_u), in one batched call.

        Args:
            noisy: [views, channels, h, w] noised scaled latents.
            timesteps: [views] whole numbers in 0 .. n_timesteps - 1.
            text: [views or 1, tokens, width] embedded prompts.
            null_text: [views or 1, tokens, width], what guidance moves away from.
            guidance_scale: s; 1 means no guidance (and half the work).
            camera_embedding: [views, CAMERA_DIM], given to both halves; None: "no camera". Only if the prior takes it.
            condition: [views, further channels, h, w] that the UNet of another role sees behind `noisy`, given to both.

        Returns:
            [views, channels, h, w] noise; v-predictions are converted. No gradient passes.
        """
        n_views = len(noisy)
        text, null_text = (t.expand(n_views, -1, -1) for t in (text, null_text))
        seen = noisy if condition is None else torch.cat([noisy, condition], dim=1)
        if guidance_scale == 1:
            return self.as_noise(noisy, self.network(seen, timesteps, text, camera_embedding), timesteps)
        without, with_text = self.network(seen, timesteps, torch.cat([null_text, text]), camera_embedding).chunk(2)
        return self.as_noise(noisy, without + guidance_scale * (with_text - without), timesteps)

    @torch.no_grad()
    def network(self, seen: Tensor, timesteps: Tensor, text: Tensor, camera_embedding: Tensor | None = None) -> Tensor:
        """`differentiable_network` without a gradient."""
        return self.differentiable_network(seen, timesteps, text, camera_embedding)

    def differentiable_network(
        self, seen: Tensor, timesteps: Tensor, text: Tensor, camera_embedding: Tensor | None = None
    ) -> Tensor:
        """Call the UNet once, without guidance: what it says, float32, epsilon or v; differentiable in seen and text.

        Args:
            seen: [views or all, channels in, h, w]; repeated, with timesteps and cameras, until there is one a text.
            timesteps: [views].
            text: [all, tokens, width]; their number is a multiple of the views.
            camera_embedding: [views, CAMERA_DIM] or None.
        """
        n_views, n = len(timesteps), len(text)
        labels = self._class_labels(n_views, camera_embedding)
        output: Tensor = self.unet(
            seen.to(self.dtype).repeat(n // len(seen), 1, 1, 1),
            timesteps.repeat(n // n_views),
            encoder_hidden_states=text.to(self.dtype),
            class_labels=None if labels is None else labels.repeat(n // n_views, 1),
            return_dict=False,
        )[0]
        return output.float()

    def as_noise(self, noisy: Tensor, output: Tensor, timesteps: Tensor) -> Tensor:
        """What the UNet said of `noisy`, as noise."""
        if self.prediction_type == "epsilon":
            return output
        return noise_from_velocity(noisy, output, self._alphas(timesteps))

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Diffuse latents forward: sqrt(alpha_bar) z + sqrt(1 - alpha_bar) noise, with [views] timesteps."""
        alphas = self._alphas(timesteps)
        return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise

    @torch.no_grad()
    def denoise(
        self,
        noisy: Tensor,
        timesteps: list[int],
        text: Tensor,
        null_text: Tensor,
        guidance_scale: float,
        camera_embedding: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Run deterministic DDIM (Song et al. 2021, eq. 12 with sigma 0) down a list of timesteps to clean latents.

        Args:
            noisy: [views, channels, h, w], at the noise level of `timesteps[0]`.
            timesteps: falling; the last prediction is of the clean latents.
            text: as in `predict`, like the three that follow.
            null_text: [views or 1, tokens, width].
            guidance_scale: 1 means none.
            camera_embedding: [views, CAMERA_DIM] or None.
            condition: [views, further channels, h, w] or None.
        """

        def predict(latents: Tensor, at: Tensor) -> Tensor:
            return self.predict(latents, at, text, null_text, guidance_scale, camera_embedding, condition)

        return ddim(noisy, timesteps, self.alphas_cumprod, predict)

    @torch.no_grad()
    def sample(
        self,
        prompts: list[str],
        camera_embedding: Tensor | None = None,
        *,
        guidance_scale: float = 6.0,
        n_steps: int = 25,
        generator: torch.Generator,
        negative_prompt: str = "",
    ) -> Tensor:
        """Draw one image a prompt: [prompts, 3, image_size, image_size] in [0, 1], repeatable from the generator."""
        shape = (len(prompts), self.latent_channels, self.latent_size, self.latent_size)
        noise = torch.randn(shape, generator=generator, device=generator.device).to(self.device)
        timesteps = falling_timesteps(self.n_timesteps - 1, n_steps)
        text, null_text = self.embed(prompts), self.embed([negative_prompt])
        return self.decode(self.denoise(noise, timesteps, text, null_text, guidance_scale, camera_embedding))

    def _class_labels(self, n_views: int, camera_embedding: Tensor | None) -> Tensor | None:
        """The camera in the prior's precision, "no camera" where none is given, None for priors that take none."""
        if not self.camera_conditioned:
            if camera_embedding is not None:
                raise Prior3dError(
                    "prior: a camera was given to a prior that takes none; switch camera conditioning off"
                )
            return None
        camera = no_camera(n_views) if camera_embedding is None else camera_embedding
        return camera.to(self.device, self.dtype)

    def _alphas(self, timesteps: Tensor) -> Tensor:
        """alpha_bar at each timestep, shaped to multiply latents: [views, 1, 1, 1]."""
        return self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)

    def tokenise(self, prompt: str) -> Any:
        """One prompt padded or cut to the text encoder's length."""
        for word, spelling in self.spelled.items():
            prompt = prompt.replace(word, spelling)
        length = self.text_encoder.config.max_position_embeddings
        return self.tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")


def ddim(
    noisy: Tensor, timesteps: list[int], alphas_cumprod: Tensor, predict: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Deterministic DDIM (Song et al. 2021, eq. 12 with sigma 0): noisy latents to clean ones.

    Args:
        noisy: [views, channels, h, w], at the noise level of `timesteps[0]`.
        timesteps: falling; the last prediction is of the clean latents.
        alphas_cumprod: [n_timesteps].
        predict: latents and timesteps [views] to noise.
    """
    latents = noisy
    for step, timestep in enumerate(timesteps):
        noise = predict(latents, torch.full((len(latents),), timestep, device=latents.device))
        alpha = alphas_cumprod[timestep]
        clean = (latents - (1 - alpha).sqrt() * noise) / alpha.sqrt()
        if step + 1 == len(timesteps):
            return clean
        next_alpha = alphas_cumprod[timesteps[step + 1]]
        latents = next_alpha.sqrt() * clean + (1 - next_alpha).sqrt() * noise
    raise Prior3dError("denoise: the list of timesteps is empty; give at least one")


def noise_from_velocity(noisy: Tensor, velocity: Tensor, alphas: Tensor) -> Tensor:
    """Noise implied by a v-prediction (Salimans & Ho 2022): sqrt(alpha_bar) v + sqrt(1 - alpha_bar) z_t."""
    return alphas.sqrt() * velocity + (1 - alphas).sqrt() * noisy


def falling_timesteps(first: int, n_steps: int) -> list[int]:
    """`n_steps` evenly spaced timesteps from `first` down, not including 0: "trailing" spacing, computed explicitly.

    A prior's noise at timestep 0 is negligible, so the last step lands on clean latents from `first / n_steps`.
    """
    if not 1 <= n_steps <= first:
        raise Prior3dError(f"sampling: {n_steps} steps do not fit below timestep {first}; use between 1 and {first}")
    return [round(first * (n_steps - step) / n_steps) for step in range(n_steps)]


def _square(size: int | list[int] | tuple[int, int]) -> int:
    """The side of a square sample size, which diffusers also writes as a pair."""
    if isinstance(size, int):
        return size
    if len(set(size)) != 1:
        raise Prior3dError(f"prior: its UNet was trained at {tuple(size)} latents; only square priors are supported")
    return size[0]
