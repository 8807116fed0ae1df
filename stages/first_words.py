"""The word that a concept begins as, and the sentences that hold it: shared by what textual_inversion does."""

import torch
from torch import Tensor

from prior3d.cameras import Orbit, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.concepts import inversion_loss, vocabulary
from prior3d.diffusion.scorer import load_scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.errors import Prior3dError
from prior3d.images.object_image import ObjectImage
from stages.contract.job import Job
from stages.textual_inversion import Params

N_WORDS, N_PAIRS = 32, 24  # that the scorer finds nearest, and that the prior then judges


def nearest_words(job: Job, params: Params, prior: TextToImagePrior, picture: ObjectImage) -> str:
    """The word of the prior's vocabulary that the scorer finds nearest to the picture.

    For a word of several rows: the pair of words, out of those that the scorer finds nearest, with which the prior
    itself denoises the picture best. A scorer alone is easily led astray by pairs that no sentence holds.
    """
    if "scorer" not in job.inputs:
        raise Prior3dError(f"{job.name}.initial_word is empty and there is no scorer to choose one; name a word")
    scorer = load_scorer(job.prior("scorer"), job.device)
    words = vocabulary(prior, params.n_candidates)
    if not words:
        raise Prior3dError(f"{job.name}: the prior's vocabulary holds no whole words; set {job.name}.initial_word")
    images = torch.stack([picture.over(level, scorer.image_size) for level in NAMED_BACKGROUNDS.values()])

    def best(phrases: list[str], n: int) -> tuple[list[str], float]:
        with torch.no_grad():
            likeness = scorer.similarity(images.to(job.device), [f"a {phrase}" for phrase in phrases]).mean(0)
        found = likeness.topk(min(n, len(phrases)))
        return [phrases[place] for place in found.indices.tolist()], float(found.values[0])

    singles, likeness = best(words, N_WORDS)
    chosen = singles[0]
    if params.n_rows > 1:
        pairs, _ = best([f"{first} {second}" for first in singles for second in singles if first != second], N_PAIRS)
        losses = denoising_losses(params, prior, picture, [*pairs, *singles[:2]])
        chosen = [*pairs, *singles[:2]][losses.argmin()]
    job.metric("initial_word_likeness", likeness, "cosine", n=len(words), higher_is_better=True)
    job.progress(0, max(params.steps, 1), text=f"the word begins as {chosen!r}")
    return chosen


def denoising_losses(
    params: Params, prior: TextToImagePrior, picture: ObjectImage, phrases: list[str], n_levels: int = 12
) -> Tensor:
    """How badly the prior denoises the picture, over white, when it is told each phrase: [phrases]."""
    view = picture.viewpoint
    orbit = view.orbit
    camera = None
    if params.camera_conditioning and prior.camera_conditioned:
        camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg).expand(n_levels, -1).to(prior.device)
    timesteps = ((torch.arange(n_levels) + 0.5) / n_levels * prior.n_timesteps).long().to(prior.device)
    found = []
    with torch.no_grad():
        latents = prior.encode(picture.over(1.0, prior.image_size)[None].to(prior.device)).expand(n_levels, -1, -1, -1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(params.seed)).to(prior.device)
        for phrase in phrases:
            told = sentence(params, params.templates[0], view.azimuth_deg, view.elevation_deg, "white", phrase)
            text = prior.embed([told]).expand(n_levels, -1, -1)
            found.append(inversion_loss(prior, latents, noise, timesteps, text, camera))
    return torch.stack(found)


def sentence(
    params: Params, template: str, azimuth_deg: float, elevation_deg: float, background: str, word: str = ""
) -> str:
    """A template with the word in it (the token without one), then the view's word and the background's if named."""
    parts = [template.format(word or params.token)]
    if params.view_words:
        orbit = Orbit(*(torch.tensor([value]) for value in (azimuth_deg, elevation_deg, 1.0, 40.0)))
        parts += view_words(orbit)
    if params.named_backgrounds:
        parts.append(f"{background} background")
    return ", ".join(parts)
