"""The word that a concept begins as, and the sentences that hold the concept's word.

RealFusion (Melas-Kyriazi et al. 2023), section 3.3, begins textual inversion (Gal et al. 2022) at the word that CLIP
finds nearest to the image. Several words, for a concept of several vectors, are not in the paper.
"""

import re
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Orbit, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.concepts import inversion_loss, kinds, single_token, vocabulary
from prior3d.diffusion.known_words import read
from prior3d.diffusion.likely_captions import likely_captions
from prior3d.diffusion.scorer import Scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.errors import Prior3dError
from prior3d.images.object_image import ObjectImage
from prior3d.settings.textual_inversion import InitializerSettings, InversionPromptSettings

ARTICLES = ("a", "an")
WORD = re.compile(r"[^\W\d_]+")
TURNS = frozenset({"with", "in", "on", "of", "at", "and", "from", "under", "over", "by", "holding", "wearing"})


@dataclass(frozen=True)
class InitialToken:
    """A word, or several words, of the prior's vocabulary.

    Attributes:
        word: the word; several are separated by spaces.
        likeness: cosine between the image and the nearest single word, by the scorer.
        n_candidates: words that the scorer compared.
    """

    word: str
    likeness: float
    n_candidates: int


def find_initial_token(
    prior: TextToImagePrior,
    scorer: Scorer,
    image: ObjectImage,
    settings: InitializerSettings,
    prompting: InversionPromptSettings,
    num_vectors: int,
    generator: torch.Generator,
) -> InitialToken:
    """Find the word of the prior's vocabulary that is nearest to the image (RealFusion, section 3.3).

    The scorer alone picks a single word. Pairs that no sentence holds mislead it, so the prior picks among the nearest
    pairs, the two nearest words and the nearest captions: the phrase with which it denoises the image best. In a small
    vocabulary the word, or the last of a pair, is a kind, never a colour alone.

    Args:
        prior: whose vocabulary is searched.
        scorer: compares words with the image.
        image: of the object.
        settings: how many words, pairs and captions are compared.
        prompting: the sentence that the prior is told when it compares phrases.
        num_vectors: the most words of a phrase; with one the prior compares nothing.
        generator: of the noise with which it compares phrases; on the CPU.

    Raises:
        Prior3dError: the prior's vocabulary holds no whole words.
    """
    words = _words(prior, settings.n_candidates)
    nouns = [kind for kind in kinds(prior) if len(kind.split()) <= num_vectors]
    singles, _ = nearest_phrases(scorer, image, words, settings.n_words)
    last, likeness = nearest_phrases(scorer, image, nouns or words, settings.n_words)
    if num_vectors == 1:
        return InitialToken(last[0], likeness, len(words))
    pairs = [pair for pair in _pairs(singles, last, nouns) if len(pair.split()) <= num_vectors]
    phrases = nearest_phrases(scorer, image, pairs, settings.n_pairs)[0] + last[:2]
    if settings.captions == "toy":
        phrases += _captions(prior, scorer, image, settings.n_captions, num_vectors)
    losses = denoising_losses(prior, image, phrases, prompting, settings.n_noise_levels, generator)
    return InitialToken(phrases[losses.argmin()], likeness, len(words))


def _words(prior: TextToImagePrior, n_candidates: int) -> list[str]:
    words = vocabulary(prior, n_candidates)
    if not words:
        raise Prior3dError("initializer: the prior's vocabulary holds no whole words; name one as initializer_token")
    return words


def words_of_prompt(prior: TextToImagePrior, prompt: str, num_vectors: int) -> str:
    """The words of a prompt that a concept can begin as: known to the prior, a token each.

    Of more words than vectors those before the first preposition count, and of these the last, which name the kind: "a
    brown teddy bear in a red chair" is "teddy bear" with two vectors. Empty if the prior knows none of them.
    """
    text = read(prompt, prior.unknown_words(prompt)).lower()
    words = [word for word in WORD.findall(text) if word not in ARTICLES]
    if sum(single_token(prior, word) for word in words) > num_vectors:
        turn = next((place for place, word in enumerate(words) if place and word in TURNS), len(words))
        words = words[:turn]
    return " ".join([word for word in words if single_token(prior, word)][-num_vectors:])


def _pairs(singles: list[str], last: list[str], nouns: list[str]) -> list[str]:
    """Two words each; the first is none that names a kind."""
    named = {word for noun in nouns for word in noun.split()}
    return [f"{first} {second}" for first in singles for second in last if first != second and first not in named]


def _captions(prior: TextToImagePrior, scorer: Scorer, image: ObjectImage, n_kept: int, num_vectors: int) -> list[str]:
    """The toy world's captions that the scorer likes best, without articles, if the prior knows their words."""
    images = [image.over(level, scorer.image_size)[None].to(scorer.device) for level in NAMED_BACKGROUNDS.values()]
    found = [" ".join(w for w in text.split() if w not in ARTICLES) for text in likely_captions(scorer, images, n_kept)]
    return [phrase for phrase in found if len(phrase.split()) <= num_vectors and not prior.unknown_words(phrase)]


@torch.no_grad()
def nearest_phrases(scorer: Scorer, image: ObjectImage, phrases: list[str], n_nearest: int) -> tuple[list[str], float]:
    """The phrases that the scorer finds nearest to the image over white, grey and black, and the first one's cosine.

    Of no phrases it is none, and 0.
    """
    if not phrases:
        return [], 0.0
    images = torch.stack([image.over(level, scorer.image_size) for level in NAMED_BACKGROUNDS.values()])
    likeness = scorer.similarity(images.to(scorer.device), [f"a {phrase}" for phrase in phrases]).mean(0)
    nearest = likeness.topk(min(n_nearest, len(phrases)))
    return [phrases[index] for index in nearest.indices.tolist()], float(nearest.values[0])


@torch.no_grad()
def denoising_losses(
    prior: TextToImagePrior,
    image: ObjectImage,
    phrases: list[str],
    prompting: InversionPromptSettings,
    n_noise_levels: int,
    generator: torch.Generator,
) -> Float[Tensor, "phrases"]:
    """How badly the prior denoises the image, over white, when it is told each phrase.

    Args:
        prior: the model; its own training loss is measured.
        image: of the object.
        phrases: put where the word goes in the first template.
        prompting: how sentences are made of phrases, and whether the prior is given the image's camera.
        n_noise_levels: spread evenly; all phrases are compared at the same levels, with the same noise.
        generator: of that noise; on the CPU.
    """
    viewpoint, n = image.viewpoint, n_noise_levels
    camera = None
    if prompting.camera_conditioning and prior.camera_conditioned:
        orbit = viewpoint.orbit
        camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg).expand(n, -1).to(prior.device)
    timesteps = ((torch.arange(n) + 0.5) / n * prior.n_timesteps).long().to(prior.device)
    latents = prior.encode(image.over(1.0, prior.image_size)[None].to(prior.device)).expand(n, -1, -1, -1)
    noise = torch.randn(latents.shape, generator=generator).to(prior.device)
    losses = []
    for phrase in phrases:
        prompt = inversion_prompt(
            prompting, prompting.templates[0], phrase, viewpoint.azimuth_deg, viewpoint.elevation_deg, "white"
        )
        text = prior.embed([prompt]).expand(n, -1, -1)
        losses.append(inversion_loss(prior, latents, noise, timesteps, text, camera))
    return torch.stack(losses)


def inversion_prompt(
    prompting: InversionPromptSettings,
    template: str,
    word: str,
    azimuth_deg: float,
    elevation_deg: float,
    background: str,
) -> str:
    """A template with the word in it, then the view's word and the background's where the settings name them."""
    parts = [template.format(word)]
    if prompting.view_words:
        orbit = Orbit(*(torch.tensor([value]) for value in (azimuth_deg, elevation_deg, 1.0, 40.0)))
        parts += view_words(orbit)
    if prompting.named_backgrounds:
        parts.append(f"{background} background")
    return ", ".join(parts)
