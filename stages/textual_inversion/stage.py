"""The body of textual_inversion; the package says what it takes, gives and is set by."""

from collections.abc import Callable

import torch
from torch import Tensor

from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.concepts import Concept as Word
from prior3d.diffusion.concepts import add_concept, initial_embeddings, inversion_loss, text_encoder_digest
from prior3d.diffusion.scheduling import stratified_timesteps
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.errors import Prior3dError
from prior3d.images.augmentation import Augmentation, augment
from prior3d.images.object_image import ObjectImage
from prior3d.optimisation import late_decay, optimise
from prior3d.seeds import Seeds
from stages.artifacts.images import load_object_image
from stages.artifacts.priors import save_concept
from stages.contract.job import Job
from stages.contract.preview import write_row
from stages.first_words import nearest_words, sentence
from stages.textual_inversion import Params

N_SHOWN = 4  # samples in the preview
AVERAGED = 0.25  # of the steps: the result is the mean of the rows over so many last ones


def run(job: Job, params: Params) -> None:
    """Teach the prior a word."""
    for template in params.templates:
        if template.count("{}") != 1:
            raise Prior3dError(f"{job.name}.templates: {template!r} must hold {{}} once, where the word goes")
    picture = load_object_image(job.inputs["image"])
    prior = load_text_to_image(job.prior(), job.device)
    seeds = Seeds(params.seed)
    word = params.initial_word or nearest_words(job, params, prior, picture)
    begun = Word(params.token, word, initial_embeddings(prior, word, params.n_rows), text_encoder_digest(prior))
    extended = add_concept(prior, begun)
    extended.embeddings.requires_grad_(True)
    losses = inversion(prior, picture, params, seeds)
    rows = torch.zeros_like(extended.embeddings.data)
    mean = torch.nn.ParameterDict({"rows": torch.nn.Parameter(rows, requires_grad=False)})
    averaged_from = params.steps - max(1, round(AVERAGED * params.steps))

    def with_mean(step: int) -> dict[str, Tensor]:
        if step > averaged_from:
            mean["rows"].data += (extended.embeddings.data - mean["rows"].data) / (step - averaged_from)
        return losses(step)

    finished = optimise(
        with_mean,
        modules={"rows": torch.nn.ParameterDict({"rows": extended.embeddings}), "mean": mean},
        optimiser=torch.optim.AdamW([extended.embeddings], lr=params.learning_rate, weight_decay=params.weight_decay),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, 0.5, 0.1),
    )
    if not finished:
        return
    if params.steps > averaged_from + 1:
        extended.embeddings.data.copy_(mean["rows"].data)
    save_concept(job.out, Word(params.token, word, extended.embeddings.detach(), begun.text_encoder_digest))
    (job.out / "concept.txt").write_text(f"{params.token}, begun as {word!r}\n", encoding="utf-8")
    extended.embeddings.requires_grad_(False)
    show(job, params, prior, picture)


def inversion(
    prior: TextToImagePrior, picture: ObjectImage, params: Params, seeds: Seeds
) -> Callable[[int], dict[str, Tensor]]:
    """The loss of one step: versions of the picture, noised at all levels, and what the prior says of the noise."""
    n, view = params.batch, picture.viewpoint
    colours, mask = picture.premultiplied(prior.image_size)
    names, levels = list(NAMED_BACKGROUNDS), torch.tensor(list(NAMED_BACKGROUNDS.values()))
    with_camera = params.camera_conditioning and prior.camera_conditioned
    how = augmentation_of(params)

    def losses(step: int) -> dict[str, Tensor]:
        generator = seeds.generator("versions")
        images, masks, mirror = augment(colours, mask, n, how, generator)
        places = torch.arange(n) % len(names) if params.named_backgrounds else torch.zeros(n, dtype=torch.long)
        images = images + (1 - masks[:, None]) * levels[places].view(-1, 1, 1, 1)
        azimuth_deg = torch.where(mirror, -view.azimuth_deg, view.azimuth_deg)
        elevation_deg = torch.full((n,), view.elevation_deg)
        camera = camera_embedding(azimuth_deg, elevation_deg).to(prior.device) if with_camera else None
        chosen = torch.randint(len(params.templates), (n,), generator=generator).tolist()
        prompts = [
            sentence(params, params.templates[k], azimuth_deg[i].item(), view.elevation_deg, names[places[i]])
            for i, k in enumerate(chosen)
        ]
        with torch.no_grad():
            # encode() stretches [0, 1] to [-1, 1]; the released code leaves this out
            latents = prior.encode(((images + 1) / 2 if params.as_released else images).to(prior.device))
        timesteps = stratified_timesteps(n, prior.n_timesteps, generator).to(prior.device)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        text = prior.diffusion.prompts.embed_with_gradient(prompts)
        return {"denoising": inversion_loss(prior, latents, noise, timesteps, text, camera)}

    return losses


def augmentation_of(params: Params) -> Augmentation:
    """The parameters' changes of the picture."""
    return Augmentation(
        rotation_deg=params.rotation_deg,
        scale=params.scale,
        mirrored=params.mirrored,
        jitter=params.jitter,
        grey=params.grey,
        blurred=params.blurred,
        blur_pixels=params.blur_pixels,
    )


def show(job: Job, params: Params, prior: TextToImagePrior, picture: ObjectImage) -> None:
    """The picture, and what the prior makes of the word from all round, as `preview.png`."""
    view = picture.viewpoint
    azimuth_deg = (view.azimuth_deg + torch.arange(N_SHOWN) * (360.0 / N_SHOWN)) % 360
    elevation_deg = torch.full((N_SHOWN,), view.elevation_deg)
    camera = None
    if params.camera_conditioning and prior.camera_conditioned:
        camera = camera_embedding(azimuth_deg, elevation_deg).to(prior.device)
    prompts = [
        sentence(params, params.templates[0], float(azimuth), view.elevation_deg, "white") for azimuth in azimuth_deg
    ]
    generator = Seeds(params.seed).generator("preview")
    images = prior.sample(prompts, camera, guidance_scale=3.0, num_inference_steps=12, generator=generator)
    given = picture.over(1.0, prior.image_size)[None].to(images)
    path = write_row(job.out / "preview.png", torch.cat([given, images]))
    job.progress(
        max(params.steps, 1), max(params.steps, 1), preview=path, text="the picture, and the word from all round"
    )
