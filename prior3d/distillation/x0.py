"""The x0 form of score distillation (MVDream, Shi et al. 2023, section 3.2 and appendix): towards the clean image.

grad = w (z - x0_hat), where x0_hat = (z_t - sqrt(1 - a) eps_hat) / sqrt(a). Written with noise it is SDS with the
weight sqrt((1 - a) / a), but as an image x0_hat can be corrected: strong guidance gives it too much contrast, so its
standard deviation is drawn to that of the unguided one (Lin et al. 2024), over all views of the step together.
"""

from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.guidance import Prediction
from prior3d.diffusion.scheduling import Schedule


def clean_residual(
    latents: Float[Tensor, "views channels h w"],
    noisy: Float[Tensor, "views channels h w"],
    parts: Prediction,
    schedule: Schedule,
    timesteps: Int[Tensor, " views"],
    rescale: float,
) -> Float[Tensor, "views channels h w"]:
    """Latents minus the clean latents that the prior sees, with their contrast taken back.

    Args:
        latents: rendered.
        noisy: the same with noise.
        parts: what the prior says.
        schedule: of the prior.
        timesteps: of the noise.
        rescale: 0 leaves the guided clean latents as they are, 1 gives them the unguided standard deviation.
    """
    found, plain = (schedule.clean_of(noisy, noise, timesteps) for noise in (parts.guided, parts.conditional))
    factor = (plain.std() + 1e-8) / (found.std() + 1e-8)
    return latents - (rescale * factor + 1 - rescale) * found
