"""Which caption explains given images best to a joint-view prior, and whether the prior knows what they show.

A scorer chooses a few captions among all that the toy world says (`likely_captions`). The prior then judges them: noise
is put on the image, and taken off under each caption. A prior that knows the thing does that much better with the right
caption than without words; of a thing that it does not know no caption says anything.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Orbit
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.diffusion.scheduling import timestep_of_strength
from prior3d.settings.joint_views import CaptionSettings

SHOWN = 3  # captions that a verdict names


@dataclass(frozen=True)
class JudgedCaption:
    """A caption and how well it explains images.

    Attributes:
        text: the caption.
        error_ratio: the prior's error with the caption over its error without words; small where it explains them.
    """

    text: str
    error_ratio: float


def verdict(judged: list[JudgedCaption], known: bool, from_person: bool) -> str:
    """What a person should know of judged captions; a warning where the prior does not know the thing.

    Args:
        judged: the best first; empty: no caption was tried.
        known: whether the prior knows the thing.
        from_person: whether a person gave the caption.
    """
    if not judged:
        return "warning: there is no caption, so it was not measured whether the prior knows this thing"
    best = judged[0]
    ratio = f"its error with {best.text!r} is {best.error_ratio:.2f} of its error without words"
    if not known:
        advice = "another --prompt may help" if from_person else "--prompt can name it"
        return f"warning: the prior does not know this thing ({ratio}); {advice}"
    others = "; next: " + ", ".join(f"{j.text} {j.error_ratio:.2f}" for j in judged[1:SHOWN]) if judged[1:] else ""
    return f"the prior knows it: {ratio}{others}"


def judged_captions(
    prior: JointViewsPrior,
    images: Float[Tensor, "images 3 size size"],
    orbit: Orbit,
    prompts: dict[str, list[str]],
    settings: CaptionSettings,
    generator: torch.Generator,
) -> list[JudgedCaption]:
    """Captions with their error ratios, the best first.

    Args:
        prior: the joint-view prior.
        images: over a background that the prior knows.
        orbit: their cameras.
        prompts: of each caption, the text that the prior is asked with for each image.
        settings: noise levels and draws.
        generator: draws the noise.
    """
    texts = list(prompts)
    timesteps = [timestep_of_strength(level, prior.n_timesteps) for level in settings.noise_levels]
    total = torch.zeros(len(texts) + 1, device=prior.device)
    for view in range(len(images)):
        asked = prior.embed([*(prompts[text][view] for text in texts), ""])
        part = slice(view, view + 1)
        total += prior.denoising_errors(
            images[part], orbit[part], asked, timesteps=timesteps, noises=settings.n_draws, generator=generator
        )
    ratios = (total[:-1] / total[-1]).tolist()
    return sorted(map(JudgedCaption, texts, ratios), key=lambda judged: judged.error_ratio)
