"""What diffusers calls a scheduler: noise put on and taken off, and the timesteps of both.

diffusers' schedulers keep a state and sample; they lack the way from what a network says to noise, and each has one
kind of noise. There is one sampler here, deterministic DDIM, written out. The tests hold all of it to diffusers'
DDIMScheduler.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.errors import Prior3dError

LEAST_SIGNAL = 2.0**-24  # in place of the 0 with which some schedules end; diffusers' Euler scheduler's
Target = Literal["epsilon", "v_prediction", "flow"]
Timesteps = int | Int[Tensor, "*views"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """How much of the latents and how much noise is left at each timestep, and what the network says of the mixture.

    z_t = alpha_t z + sigma_t eps. The squares are kept: those of a diffusion model are alpha_bar and 1 - alpha_bar. A
    flow matching model (Lipman et al. 2023, Liu et al. 2023) has alpha_t = 1 - t and sigma_t = t. Its z_t is that of a
    diffusion model of the same signal-to-noise ratio, times a number; so all that is said of noise holds for both.

    Attributes:
        signal: alpha_t^2 of each timestep.
        noise: sigma_t^2.
        target: what the network says: eps; the velocity v = alpha_t eps - sigma_t z; or the flow's, eps - z.
    """

    signal: Float[Tensor, "n_timesteps"]
    noise: Float[Tensor, "n_timesteps"]
    target: Target

    @property
    def n_timesteps(self) -> int:
        """How many noise levels there are."""
        return len(self.signal)

    def alpha(self, timesteps: Timesteps) -> Float[Tensor, "*views"]:
        """What latents are multiplied by: one a timestep."""
        return self.signal[timesteps].sqrt()

    def sigma(self, timesteps: Timesteps) -> Float[Tensor, "*views"]:
        """What noise is multiplied by."""
        return self.noise[timesteps].sqrt()

    def noise_share(self, timesteps: Timesteps) -> Float[Tensor, "*views"]:
        """sigma^2 / (alpha^2 + sigma^2): 1 - alpha_bar of the diffusion model with this signal-to-noise ratio."""
        return self.noise[timesteps] / self._power(timesteps)

    def signal_share(self, timesteps: Timesteps) -> Float[Tensor, "*views"]:
        """alpha^2 / (alpha^2 + sigma^2): alpha_bar of that diffusion model."""
        return self.signal[timesteps] / self._power(timesteps)

    def add_noise(
        self,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """Diffuse latents forward to timesteps."""
        return _per_view(self.alpha(timesteps)) * latents + _per_view(self.sigma(timesteps)) * noise

    def said_of(
        self,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """What a perfect network says of latents with this noise: what it is trained on."""
        match self.target:
            case "epsilon":
                return noise
            case "v_prediction":
                return _per_view(self.alpha(timesteps)) * noise - _per_view(self.sigma(timesteps)) * latents
            case "flow":
                return noise - latents

    def noise_of(
        self,
        noisy: Float[Tensor, "views channels h w"],
        said: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """The noise that follows from what the network says of noisy latents."""
        alpha, sigma = _per_view(self.alpha(timesteps)), _per_view(self.sigma(timesteps))
        match self.target:
            case "epsilon":
                return said
            case "v_prediction":
                return (alpha * said + sigma * noisy) / _per_view(self._power(timesteps))
            case "flow":
                return (alpha * said + noisy) / (alpha + sigma)

    def clean_of(
        self,
        noisy: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, "views"],
    ) -> Float[Tensor, "views channels h w"]:
        """The latents that are left of noisy ones without their noise."""
        return (noisy - _per_view(self.sigma(timesteps)) * noise) / _per_view(self.alpha(timesteps))

    def _power(self, timesteps: Timesteps) -> Float[Tensor, "*views"]:
        """alpha^2 + sigma^2: of a diffusion model 1, exactly."""
        return self.signal[timesteps] + self.noise[timesteps]


def diffusion_schedule(scheduler: Any, device: torch.device) -> Schedule:
    """The schedule of one of diffusers' schedulers that have `alphas_cumprod`.

    A schedule that ends in noise alone ends in nearly no signal here, so that nothing is divided by 0.

    Raises:
        Prior3dError: its network says something else than noise or velocity.
    """
    target = scheduler.config.prediction_type
    if target not in ("epsilon", "v_prediction"):
        raise Prior3dError(
            f"prior: scheduler/ says prediction_type {target!r}; only epsilon and v_prediction are supported"
        )
    signal = scheduler.alphas_cumprod.to(device, torch.float32).clamp_min(LEAST_SIGNAL)
    return Schedule(signal, 1 - signal, target)


def flow_schedule(n_timesteps: int, device: torch.device, shift: float = 1.0) -> Schedule:
    """The schedule of a flow matching model: sigma_t = t, alpha_t = 1 - t, for t from 1 / n to 1.

    Args:
        n_timesteps: n.
        device: where it goes.
        shift: s of Stable Diffusion 3 (Esser et al. 2024, section 5.3.2): t becomes s t / (1 + (s - 1) t).
    """
    t = torch.arange(1, n_timesteps + 1, device=device) / n_timesteps
    t = shift * t / (1 + (shift - 1) * t)
    return Schedule(((1 - t) ** 2).clamp_min(LEAST_SIGNAL), t**2, "flow")


def descending_timesteps(first: int, num_inference_steps: int) -> list[int]:
    """Evenly spaced timesteps from `first` down, without 0: diffusers' "trailing" spacing from any timestep.

    A prior's noise at timestep 0 is negligible, so the last step goes to clean latents from `first / steps`.

    Raises:
        Prior3dError: so many steps do not fit.
    """
    n = num_inference_steps
    if not 1 <= n <= first:
        raise Prior3dError(f"sampling: {n} steps do not fit below timestep {first}; use between 1 and {first}")
    return [round(first * (n - step) / n) for step in range(n)]


def instruct_timesteps(highest: int, num_inference_steps: int) -> list[int]:
    """The timesteps of Instruct-NeRF2NeRF (Haque et al. 2023) for a drawn T.

    The authors set a DDIM scheduler's number of training timesteps to T and ask it for n steps. With leading spacing
    and an offset of one this gives k floor(T / n) + 1: for T = 980 and 20 steps the first one is 932.

    Args:
        highest: T, between `num_inference_steps` and the prior's number of timesteps.
        num_inference_steps: n.

    Raises:
        Prior3dError: so many steps do not fit.
    """
    n = num_inference_steps
    if not 1 <= n <= highest:
        raise Prior3dError(f"edit: {n} inference steps do not fit below timestep {highest}; take fewer steps")
    return [step * (highest // n) + 1 for step in reversed(range(n))]


def timestep_of_strength(strength: float, n_timesteps: int) -> int:
    """The timestep at which SDEdit (Meng et al. 2022) starts, for a strength in [0, 1]: 1 to n_timesteps - 1."""
    return min(max(round(strength * n_timesteps), 1), n_timesteps - 1)


def stratified_timesteps(
    n: int, n_timesteps: int, generator: torch.Generator, *, shuffled: bool = False, power: float = 1.0
) -> Int[Tensor, "{n}"]:
    """Draw n timesteps, one from each of n equal strata: the expectation of independent draws with less variance.

    Args:
        n: how many.
        n_timesteps: they are T u^power of uniform u, rounded down.
        generator: they are drawn from it, on its device.
        shuffled: in random order; otherwise they ascend.
        power: below 1, strong noise comes more often.
    """
    device = generator.device
    strata = torch.randperm(n, generator=generator, device=device) if shuffled else torch.arange(n, device=device)
    fraction = ((strata + torch.rand(n, generator=generator, device=device)) / n) ** power
    return (fraction * n_timesteps).long().clamp(max=n_timesteps - 1)


def ddim(
    noisy: Float[Tensor, "views channels h w"],
    timesteps: list[int],
    schedule: Schedule,
    predict: Callable[[Float[Tensor, "views channels h w"], Int[Tensor, "views"]], Float[Tensor, "views channels h w"]],
) -> Float[Tensor, "views channels h w"]:
    """Take noisy latents to clean ones (Song et al. 2021, eq. 12 with sigma 0; of a flow, Euler's steps).

    Args:
        noisy: at the noise level of `timesteps[0]`.
        timesteps: descending; the last prediction is of the clean latents.
        schedule: of the prior.
        predict: latents and timesteps to noise.

    Raises:
        Prior3dError: there is no timestep.
    """
    latents, levels = noisy, [torch.full((len(noisy),), timestep, device=noisy.device) for timestep in timesteps]
    for step, at in enumerate(levels):
        noise = predict(latents, at)
        clean = schedule.clean_of(latents, noise, at)
        if step + 1 == len(timesteps):
            return clean
        latents = schedule.add_noise(clean, noise, levels[step + 1])
    raise Prior3dError("denoise: the list of timesteps is empty; give at least one")


def _per_view(values: Float[Tensor, "views"]) -> Float[Tensor, "views 1 1 1"]:
    """Shape values so that they multiply latents."""
    return values.view(-1, 1, 1, 1)
