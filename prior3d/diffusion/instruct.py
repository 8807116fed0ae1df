"""A frozen instruct prior (InstructPix2Pix, Brooks et al. 2023): an image and an instruction in, the edited image out.

Its UNet takes eight channels: noisy latents, and the mode of the original image's latents without the scaling factor.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.latent_diffusion import load_latent_diffusion
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.scheduling import descending_timesteps, timestep_of_strength


@dataclass(frozen=True)
class EditSettings:
    """How images are edited.

    Attributes:
        guidance_scale: how much the instruction is followed.
        image_guidance_scale: how much the original is held to.
        num_inference_steps: network calls.
        strength: in (0, 1], where denoising starts: the less, the more of the image it starts from stays.
        negative_prompt: what text guidance moves away from.
    """

    guidance_scale: float = 7.5
    image_guidance_scale: float = 1.5
    num_inference_steps: int = 20
    strength: float = 1.0
    negative_prompt: str = ""


class InstructPrior(DiffusionPrior):
    """The networks of a StableDiffusionInstructPix2PixPipeline folder: a UNet with the latents' channels twice."""

    @torch.no_grad()
    def condition(self, original_images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views channels h w"]:
        """What the UNet sees behind the noisy latents."""
        return self.encode(original_images) / self.scaling_factor

    @torch.no_grad()
    def predict(
        self,
        noisy: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
        conditioning: Conditioning,
        condition: Float[Tensor, "views channels h w"],
        image_guidance_scale: float,
    ) -> Float[Tensor, "views channels h w"]:
        """Predict the noise with guidance on image and text, in one batched call (Brooks et al. 2023, eq. 3).

        e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0)), where no image is a condition of zeros.

        Args:
            noisy: noised scaled latents.
            timesteps: of the views.
            conditioning: instructions, s_T, and cameras, which are given to all three.
            condition: of the method `condition`.
            image_guidance_scale: s_I.

        Returns:
            noise; v-predictions are converted. No gradient passes.
        """
        asked = conditioning
        text, null_text = (t.expand(len(noisy), -1, -1) for t in (asked.text, asked.null_text))
        conditions = torch.cat([condition, condition, torch.zeros_like(condition)])
        seen = torch.cat([noisy.repeat(3, 1, 1, 1), conditions], dim=1)
        output = self.diffusion.network(seen, timesteps, torch.cat([text, null_text, null_text]), asked.camera)
        both, image, neither = output.chunk(3)
        guided = neither + image_guidance_scale * (image - neither) + asked.guidance_scale * (both - image)
        return self.diffusion.to_noise(noisy, guided, timesteps)

    @torch.no_grad()
    def relevance(
        self,
        images: Float[Tensor, "views 3 height width"],
        instruction: str,
        camera: Float[Tensor, "views 16"] | None = None,
        *,
        strength: float = 0.8,
        n_samples: int = 4,
        generator: torch.Generator,
    ) -> Float[Tensor, "views 1 height width"]:
        """How much the instruction changes the predicted noise, place by place (Mirzaei et al. 2023, eq. 4).

        Args:
            images: in [0, 1].
            instruction: in words.
            camera: as in `edit`.
            strength: of the noise that is put on the images, in parts of T; 0.8 in the paper.
            n_samples: noises over whose predictions the mean is taken.
            generator: draws the noise.

        Returns:
            mean absolute difference over channels to the prediction for an empty instruction.
        """
        diffusion, n = self.diffusion, len(images)
        images = images.to(self.device)
        latents, condition = self.encode(images), self.condition(images)
        at = torch.full((n,), round(strength * (self.n_timesteps - 1)), device=self.device)
        texts = torch.cat([self.embed([text]).expand(n, -1, -1) for text in (instruction, "")])
        total = torch.zeros_like(latents[:, :1])
        for _ in range(n_samples):
            noise = diffusion.draw_noise(n, generator, (latents.shape[2], latents.shape[3]))
            noisy = diffusion.add_noise(latents, noise, at)
            seen = torch.cat([noisy, condition], dim=1).repeat(2, 1, 1, 1)
            outputs = diffusion.network(seen, at, texts, camera).chunk(2)
            instructed, plain = (diffusion.to_noise(noisy, output, at) for output in outputs)
            total += (instructed - plain).abs().mean(1, keepdim=True) / n_samples
        size = (images.shape[2], images.shape[3])
        return functional.interpolate(total, size, mode="bilinear", align_corners=False)

    @torch.no_grad()
    def edit(
        self,
        start: Float[Tensor, "views 3 height width"],
        originals: Float[Tensor, "views 3 height width"],
        instructions: list[str],
        settings: EditSettings,
        camera: Float[Tensor, "views 16"] | None = None,
        *,
        timesteps: list[int] | None = None,
        generator: torch.Generator,
    ) -> Float[Tensor, "views 3 height width"]:
        """Edit images: noise what they show now, and denoise it towards the original as the instruction says.

        Args:
            start: in [0, 1], best at the prior's image_size. Haque et al. 2023 start from renders of the edited scene.
            originals: what the instruction speaks of.
            instructions: one a view, or one for all.
            settings: guidance, steps and strength.
            camera: of `camera_embedding`; None: "no camera". Only if the prior takes it.
            timesteps: descending, in place of those that the settings' steps and strength give.
            generator: draws the noise.

        Returns:
            images in [0, 1]. No gradient passes.

        Raises:
            Prior3dError: so many steps do not fit below the timestep of this strength.
        """
        if timesteps is None:
            first = timestep_of_strength(settings.strength, self.n_timesteps)
            timesteps = descending_timesteps(first, settings.num_inference_steps)
        latents, condition = self.encode(start.to(self.device)), self.condition(originals.to(self.device))
        noise = self.diffusion.draw_noise(len(latents), generator, (latents.shape[2], latents.shape[3]))
        noisy = self.diffusion.add_noise(latents, noise, torch.full((len(latents),), timesteps[0], device=self.device))
        asked = self.conditioning(instructions, settings.negative_prompt, settings.guidance_scale, camera)
        image_scale = settings.image_guidance_scale
        clean = self.diffusion.denoise(
            noisy, timesteps, lambda latents, at: self.predict(latents, at, asked, condition, image_scale)
        )
        return self.decode(clean)


def load_instruct(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> InstructPrior:
    """Load a frozen InstructPix2Pix prior: a folder of that pipeline. All else as `load_text_to_image`."""
    return InstructPrior(load_latent_diffusion(Path(folder), "instruct", device, dtype))
