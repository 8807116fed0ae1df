"""The body of textual_inversion; the package says what it takes, gives and is set by."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.concepts import (
    Concept,
    add_concept,
    initial_embeddings,
    inversion_loss,
    text_encoder_digest,
)
from prior3d.diffusion.initial_token import find_initial_token, inversion_prompt, words_of_prompt
from prior3d.diffusion.scheduling import stratified_timesteps
from prior3d.diffusion.scorer import load_scorer
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.errors import Prior3dError
from prior3d.images.augmentation import augment
from prior3d.images.object_image import ObjectImage
from prior3d.optimisation import decay, optimise
from prior3d.seeds import Seeds
from prior3d.sending import sent
from stages.artifacts.completions import load_completion
from stages.artifacts.images import load_object_image
from stages.artifacts.priors import save_concept
from stages.contract.job import Job
from stages.contract.preview import warn_of_unknown_words, write_row
from stages.textual_inversion import Params

DIVERGED = "lower textual_inversion.optimiser.learning_rate"
N_SHOWN = 4  # samples in the preview


def run(job: Job, params: Params) -> None:
    """Teach the prior a word (RealFusion, section 3.3)."""
    check_templates(job, params)
    if "start" in job.inputs and load_completion(job.inputs["start"]) is not None:
        params = params.model_copy(update={"steps": 0})
    image = load_object_image(job.inputs["image"])
    prior = load_text_to_image(job.prior(), job.device)
    seeds = Seeds(params.seed)
    word = params.initializer_token or initializer_token(job, params, prior, image)
    begun = Concept(params.token, word, initial_embeddings(prior, word, params.num_vectors), text_encoder_digest(prior))
    extended = add_concept(prior, begun)
    extended.embeddings.requires_grad_(True)
    average = Average(extended.embeddings, params)
    settings = params.optimiser
    finished = optimise(
        average.after(inversion(prior, image, params, seeds)),
        modules={"rows": nn.ParameterDict({"rows": extended.embeddings}), "mean": average.mean},
        optimiser=torch.optim.AdamW(
            [extended.embeddings],
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
        ),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=decay(settings),
        advice=DIVERGED,
    )
    if not finished:
        return
    average.take(params.steps)
    save_concept(job.out, Concept(params.token, word, extended.embeddings.detach(), begun.text_encoder_digest))
    (job.out / "concept.txt").write_text(f"{params.token}, begun as {word!r}\n", encoding="utf-8")
    extended.embeddings.requires_grad_(False)
    show(job, params, prior, image)


def check_templates(job: Job, params: Params) -> None:
    """Check that each template has one place for the word (raises Prior3dError)."""
    for template in params.prompting.templates:
        if template.count("{}") != 1:
            raise Prior3dError(f"{job.name}.prompting.templates: {template!r} must hold {{}} once, where the word goes")


def initializer_token(job: Job, params: Params, prior: TextToImagePrior, image: ObjectImage) -> str:
    """A person's words, or the word that the scorer, or scorer and prior, find nearest to the image; recorded.

    Raises:
        Prior3dError: there is no scorer.
    """
    if "prompt" in job.inputs:
        warn_of_unknown_words(job, prior.unknown_words(job.prompt), max(params.steps, 1))
        if words := words_of_prompt(prior, job.prompt, params.num_vectors):
            job.progress(0, max(params.steps, 1), text=f"the word begins as {words!r}, of the prompt")
            return words
        text = "warning: no word of the prompt is one that the prior knows, so the scorer looks for one"
        job.progress(0, max(params.steps, 1), text=text)
    if "scorer" not in job.inputs:
        raise Prior3dError(f"{job.name}.initializer_token is empty and there is no scorer to choose one; name a word")
    found = find_initial_token(
        prior,
        load_scorer(job.prior("scorer"), job.device),
        image,
        params.initializer,
        params.prompting,
        num_vectors=params.num_vectors,
        generator=torch.Generator().manual_seed(params.seed),
    )
    job.metric("initial_word_likeness", found.likeness, "cosine", n=found.n_candidates, higher_is_better=True)
    job.progress(0, max(params.steps, 1), text=f"the word begins as {found.word!r}")
    return found.word


class Average:
    """The mean of the embeddings over the last part of the run."""

    def __init__(self, embeddings: nn.Parameter, params: Params) -> None:
        self.embeddings = embeddings
        zeros = torch.zeros_like(embeddings.data)
        self.mean = nn.ParameterDict({"rows": nn.Parameter(zeros, requires_grad=False)})
        self.first = params.steps - max(1, round(params.averaged_fraction * params.steps))

    def after(self, losses: Callable[[int], dict[str, Tensor]]) -> Callable[[int], dict[str, Tensor]]:
        """The same losses; each call also adds the present embeddings to the mean, once the last part has begun."""

        def with_mean(step: int) -> dict[str, Tensor]:
            if step > self.first:
                self.mean["rows"].data += (self.embeddings.data - self.mean["rows"].data) / (step - self.first)
            return losses(step)

        return with_mean

    def take(self, n_steps: int) -> None:
        """Put the mean in place of the embeddings, if any step was averaged."""
        if n_steps > self.first + 1:
            self.embeddings.data.copy_(self.mean["rows"].data)


def inversion(
    prior: TextToImagePrior, image: ObjectImage, params: Params, seeds: Seeds
) -> Callable[[int], dict[str, Tensor]]:
    """The loss of one step: versions of the image, noised to all levels, and how well the prior predicts the noise."""
    n, viewpoint, prompting = params.batch, image.viewpoint, params.prompting
    colours, mask = image.premultiplied(prior.image_size)
    names, greys = list(NAMED_BACKGROUNDS), torch.tensor(list(NAMED_BACKGROUNDS.values()))

    def losses(step: int) -> dict[str, Tensor]:
        generator = seeds.generator("versions")
        images, masks, mirrored = augment(colours, mask, n, params.augmentation, generator)
        backgrounds = torch.arange(n) % len(names) if prompting.named_backgrounds else torch.zeros(n, dtype=torch.long)
        images = images + (1 - masks[:, None]) * greys[backgrounds].view(-1, 1, 1, 1)
        azimuth_deg = torch.where(mirrored, -viewpoint.azimuth_deg, viewpoint.azimuth_deg)
        chosen = torch.randint(len(prompting.templates), (n,), generator=generator).tolist()
        prompts = [
            prompt(params, azimuth_deg[i].item(), viewpoint.elevation_deg, names[backgrounds[i]], template=k)
            for i, k in enumerate(chosen)
        ]
        with torch.no_grad():
            # encode() stretches [0, 1] to [-1, 1]; the released code leaves this out
            latents = prior.encode(((images + 1) / 2 if params.match_released_code else images).to(prior.device))
        timesteps = sent(stratified_timesteps(n, prior.n_timesteps, generator), prior.device)
        noise = sent(torch.randn(latents.shape, generator=seeds.generator("noise")), prior.device)
        text = prior.diffusion.prompts.embed_with_gradient(prompts)
        camera = cameras(prior, params, azimuth_deg, viewpoint.elevation_deg)
        return {"denoising": inversion_loss(prior, latents, noise, timesteps, text, camera, params.at_once)}

    return losses


def prompt(params: Params, azimuth_deg: float, elevation_deg: float, background: str, template: int = 0) -> str:
    """What the prior is told about a view, with the new word."""
    prompting = params.prompting
    return inversion_prompt(
        prompting, prompting.templates[template], params.token, azimuth_deg, elevation_deg, background
    )


def cameras(prior: TextToImagePrior, params: Params, azimuth_deg: Tensor, elevation_deg: float) -> Tensor | None:
    """The views' cameras [n, 16] for a prior that takes them; None for others, or if the parameters say so."""
    if not (params.prompting.camera_conditioning and prior.camera_conditioned):
        return None
    return camera_embedding(azimuth_deg, torch.full_like(azimuth_deg, elevation_deg)).to(prior.device)


def show(job: Job, params: Params, prior: TextToImagePrior, image: ObjectImage) -> None:
    """The image, and the prior's images of the word from all around, as `preview.png`."""
    view = image.viewpoint
    azimuth_deg = (view.azimuth_deg + torch.arange(N_SHOWN) * (360.0 / N_SHOWN)) % 360
    camera = cameras(prior, params, azimuth_deg, view.elevation_deg)
    prompts = [prompt(params, float(azimuth), view.elevation_deg, "white") for azimuth in azimuth_deg]
    generator = Seeds(params.seed).generator("preview")
    images = prior.sample(prompts, camera, guidance_scale=3.0, num_inference_steps=12, generator=generator)
    target = image.over(1.0, prior.image_size)[None].to(images)
    path = write_row(job.out / "preview.png", torch.cat([target, images]))
    total = max(params.steps, 1)
    job.progress(total, total, preview=path, text="the image, and the word from all around")
