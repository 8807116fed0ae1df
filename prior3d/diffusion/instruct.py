"""A frozen instruct prior (InstructPix2Pix, Brooks et al. 2023): an image and an instruction in, the edited image out.

Its UNet takes eight channels: noisy latents, and the mode of the original image's latents without the scaling factor.
"""

import torch
from torch import Tensor

from prior3d.diffusion.text_to_image import TextToImagePrior, ddim, falling_timesteps
from prior3d.errors import Prior3dError


class InstructPrior:
    """The networks of a StableDiffusionInstructPix2PixPipeline folder.

    Attributes:
        diffusion: its networks, with `encode`, `decode`, `embed`, `unknown_words`, `free_text_encoder`, `image_size`.
    """

    def __init__(self, diffusion: TextToImagePrior):
        """Take networks whose UNet has the latents' channels twice."""
        self.diffusion = diffusion

    @torch.no_grad()
    def condition(self, original_images: Tensor) -> Tensor:
        """What the UNet sees behind the noisy latents: [views, channels, h, w] of images [views, 3, height, width]."""
        return self.diffusion.encode(original_images) / self.diffusion.scaling_factor

    @torch.no_grad()
    def predict(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        text: Tensor,
        null_text: Tensor,
        condition: Tensor,
        guidance_scale: float,
        image_guidance_scale: float,
        camera: Tensor | None = None,
    ) -> Tensor:
        """Predict the noise with guidance on image and text, in one batched call (Brooks et al. 2023, eq. 3).

        e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0)), where no image is a condition of zeros.

        Args:
            noisy: [views, channels, h, w] noised scaled latents.
            timesteps: [views].
            text: [views or 1, tokens, width] embedded instructions.
            null_text: [views or 1, tokens, width].
            condition: [views, channels, h, w] of `condition`.
            guidance_scale: s_T.
            image_guidance_scale: s_I.
            camera: [views, CAMERA_DIM] or None, given to all three.
        """
        text, null_text = (t.expand(len(noisy), -1, -1) for t in (text, null_text))
        conditions = torch.cat([condition, condition, torch.zeros_like(condition)])
        seen = torch.cat([noisy.repeat(3, 1, 1, 1), conditions], dim=1)
        output = self.diffusion.network(seen, timesteps, torch.cat([text, null_text, null_text]), camera)
        both, image, neither = output.chunk(3)
        guided = neither + image_guidance_scale * (image - neither) + guidance_scale * (both - image)
        return self.diffusion.as_noise(noisy, guided, timesteps)

    @torch.no_grad()
    def relevance(
        self,
        images: Tensor,
        instruction: str,
        camera: Tensor | None = None,
        *,
        level: float = 0.8,
        n_samples: int = 4,
        generator: torch.Generator,
    ) -> Tensor:
        """How much the instruction matters to the prediction of the noise, place by place (Mirzaei et al. 2023, eq. 4).

        Args:
            images: [views, 3, height, width] in [0, 1], noised and told.
            instruction: in words.
            camera: as in `edit`.
            level: of the noise, in parts of T; 0.8 in the paper.
            n_samples: noises over whose predictions the mean is taken.
            generator: draws the noise.

        Returns:
            [views, 1, height, width] mean absolute difference over channels to the prediction for an empty instruction.
        """
        diffusion, n = self.diffusion, len(images)
        images = images.to(diffusion.device)
        latents, condition = diffusion.encode(images), self.condition(images)
        at = torch.full((n,), round(level * (diffusion.n_timesteps - 1)), device=diffusion.device)
        texts = torch.cat([diffusion.embed([text]).expand(n, -1, -1) for text in (instruction, "")])
        total = torch.zeros_like(latents[:, :1])
        for _ in range(n_samples):
            noise = torch.randn(latents.shape, generator=generator, device=generator.device).to(latents)
            noisy = diffusion.add_noise(latents, noise, at)
            seen = torch.cat([noisy, condition], dim=1).repeat(2, 1, 1, 1)
            told, untold = (
                diffusion.as_noise(noisy, output, at) for output in diffusion.network(seen, at, texts, camera).chunk(2)
            )
            total += (told - untold).abs().mean(1, keepdim=True) / n_samples
        size = (images.shape[2], images.shape[3])
        return torch.nn.functional.interpolate(total, size, mode="bilinear", align_corners=False)

    @torch.no_grad()
    def edit(
        self,
        images_now: Tensor,
        original_images: Tensor,
        instructions: list[str],
        camera: Tensor | None = None,
        *,
        image_guidance_scale: float = 1.5,
        guidance_scale: float = 7.5,
        t_start: int | None = None,
        n_steps: int = 20,
        timesteps: list[int] | None = None,
        generator: torch.Generator,
        negative_prompt: str = "",
    ) -> Tensor:
        """Edit images: noise what they show now, and denoise it towards the original as the instruction says.

        Args:
            images_now: [views, 3, height, width] in [0, 1], where denoising begins (Haque et al. 2023: renders of the
                scene that is being edited); best at the prior's image_size.
            original_images: the same shape, what the instruction speaks of.
            instructions: one a view, or one for all.
            camera: [views, CAMERA_DIM] of `camera_embedding`; None: "no camera". Only if the prior takes it.
            image_guidance_scale: how much the original is held to.
            guidance_scale: how much the instruction is followed.
            t_start: timestep of the first noise; the less, the more of `images_now` stays. None: the highest.
            n_steps: network calls; their timesteps are evenly spaced from `t_start` down.
            timesteps: the timesteps themselves, falling, in the place of both.
            generator: draws the noise.
            negative_prompt: what text guidance moves away from.

        Returns:
            [views, 3, height, width] in [0, 1]. No gradient passes.

        Raises:
            Prior3dError: `n_steps` do not fit below `t_start`.
        """
        diffusion = self.diffusion
        if timesteps is None:
            timesteps = falling_timesteps(diffusion.n_timesteps - 1 if t_start is None else t_start, n_steps)
        latents = diffusion.encode(images_now.to(diffusion.device))
        condition = self.condition(original_images.to(diffusion.device))
        noise = torch.randn(latents.shape, generator=generator, device=generator.device).to(diffusion.device)
        at = torch.full((len(latents),), timesteps[0], device=diffusion.device)
        text, null_text = diffusion.embed(instructions), diffusion.embed([negative_prompt])

        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            return self.predict(
                noisy, timesteps, text, null_text, condition, guidance_scale, image_guidance_scale, camera
            )

        return diffusion.decode(
            ddim(diffusion.add_noise(latents, noise, at), timesteps, diffusion.alphas_cumprod, predict)
        )


def instruct_timesteps(highest: int, n_steps: int) -> list[int]:
    """The timesteps of Instruct-NeRF2NeRF (Haque et al. 2023) for a drawn T, written out.

    It sets a DDIM scheduler's number of training timesteps to T and asks it for `n_steps`, which with leading spacing
    and an offset of one gives k floor(T / n) + 1: 932 is the first of 20 for T = 980. Here nothing is mutated.

    Args:
        highest: T, between `n_steps` and the prior's number of timesteps.
        n_steps: how many.

    Raises:
        Prior3dError: they do not fit.
    """
    if not 1 <= n_steps <= highest:
        raise Prior3dError(f"edit: {n_steps} denoising steps do not fit below timestep {highest}; take fewer steps")
    return [step * (highest // n_steps) + 1 for step in reversed(range(n_steps))]
