"""Variational score distillation (ProlificDreamer, Wang et al. 2023, eq. 9): against what renders look like by now.

SDS compares the prior's noise with the noise that was added, as if an object were the one point it is: it seeks a mode.
Here the objects are samples ("particles") of a distribution whose own score eps_phi is learned beside them, and
grad = w(t) (eps_hat(z_t; y) - eps_phi(z_t; y, c)). It is zero where the particles' distribution is the prior's, so low
guidance is enough. eps_phi is the prior's U-Net with a LoRA (`prior3d.distillation.low_rank`), trained on the renders
as diffusion models are: |eps_phi(z_t'; y, c) - eps'|^2, or the velocity where the prior says velocities.
"""

from typing import Any, Generic

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from prior3d.diffusion.graphs import NO_CHANGE, OpenvinoCalls
from prior3d.distillation.low_rank import LowRank
from prior3d.distillation.protocol import Batch, PromptedViews
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import SdsSettings, VsdLoss


class ParticleScore(Generic[Batch]):
    """The score of what is rendered: a prior's U-Net with a LoRA that learns beside the objects.

    Args:
        views: of the objects; the prior is theirs.
        settings: rank and learning rate of the LoRA, and the number of particles.
        seeds: "lora" starts the LoRA; "lora noise" and "lora timesteps" are drawn in its training, "particles" says
            whose turn it is.

    Raises:
        Prior3dError: OpenVINO runs the U-Net, or it has no attention.
    """

    def __init__(self, views: PromptedViews[Batch], settings: VsdLoss, seeds: Seeds) -> None:
        self.views, self.settings, self.seeds = views, settings, seeds
        prior = views.prior
        if isinstance(prior.diffusion.unet_calls, OpenvinoCalls):
            raise Prior3dError(NO_CHANGE)
        prior.diffusion.unet_calls.capturing = False  # a graph would be of the U-Net without the LoRA, or of one step's
        if settings.recompute:
            prior.diffusion.unet.enable_gradient_checkpointing()
        poses = not prior.camera_conditioned  # such a prior knows the camera already
        self.adapter = LowRank(prior.diffusion.unet, settings.rank, seeds.generator("lora"), poses)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is optimised, by the name that checkpoints use."""
        return {"lora": self.adapter}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for an optimiser."""
        return [{"params": list(self.adapter.parameters()), "lr": self.settings.learning_rate}]

    def turn(self) -> int:
        """Which particle this step is of."""
        n = self.settings.particles
        return 0 if n == 1 else int(torch.randint(n, (), generator=self.seeds.generator("particles")))

    @torch.no_grad()
    def predict(
        self, batch: Batch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, " views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The noise that the particles' own score sees."""
        with self.adapter.active(self.views.pose(batch)):
            output = self.views.output(batch, noisy, timesteps)
        return self.views.prior.diffusion.to_noise(noisy, output, timesteps)

    def loss(self, batch: Batch, latents: Float[Tensor, "views channels h w"]) -> Float[Tensor, ""]:
        """The denoising loss of the renders at noise levels of its own; its gradient goes to the LoRA alone.

        The gradient is computed at once, so that the U-Net's activations are gone before the object's own backward
        pass. A network of 16 bits gets it at a scale of its own, see `GradientScale`.
        """
        prior, clean = self.views.prior, latents.detach()
        drawn = torch.randint(prior.n_timesteps, (len(clean),), generator=self.seeds.generator("lora timesteps"))
        timesteps = drawn.to(clean.device)
        noise = torch.randn(clean.shape, generator=self.seeds.generator("lora noise")).to(clean)
        parameters = list(self.adapter.parameters())
        with torch.enable_grad(), self.adapter.active(self.views.pose(batch)):
            output = self.views.output(batch, prior.add_noise(clean, noise, timesteps), timesteps)
            error = output - prior.diffusion.training_target(clean, noise, timesteps)
            gradient = (2 / error.numel()) * error.detach()
            scale = 1 / gradient.abs().amax().clamp_min(1e-30)
            found = torch.autograd.grad(output, parameters, scale * gradient, allow_unused=True)
        value = error.detach().square().mean()
        for parameter, slope in zip(parameters, found, strict=True):
            if slope is not None:
                value = value + ((parameter - parameter.detach()) * (slope / scale)).sum()
        return value


def particle_names(settings: SdsSettings, name: str) -> list[str]:
    """Names of a stage's objects, for generators and checkpoints: `field`, `field 1`, ...; one for most losses."""
    n = settings.loss.particles if isinstance(settings.loss, VsdLoss) else 1
    return [name, *(f"{name} {number}" for number in range(1, n))]
