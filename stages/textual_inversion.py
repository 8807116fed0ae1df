"""Textual inversion: a new word whose meaning, to a prior, is the object of one picture.

Gal et al. 2022, as RealFusion uses it (Melas-Kyriazi et al. 2023, section 3.3): the word begins as the word of the
prior's vocabulary that a scorer finds nearest to the picture; then its row of the text encoder's table, and nothing
else, is moved so that the prior denoises random versions of the picture well.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from prior3d.errors import Prior3dError
from stages import artifacts, image_artifacts
from stages.concept_artifact import Concept
from stages.entry import Job, StageParams, main
from stages.first_words import nearest_words, sentence
from stages.guided_views import Range

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from prior3d.augmentation import Augmentation
    from prior3d.object_image import ObjectImage
    from prior3d.priors.text_to_image import TextToImagePrior
    from prior3d.seeds import Seeds

Probability = Annotated[float, Field(ge=0, le=1)]
N_SHOWN = 4  # samples in the preview
AVERAGED = 0.25  # of the steps: the result is the mean of the rows over so many last ones


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(60, ge=0, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    batch: int = Field(8, ge=1, le=256, description="versions of the picture a step")
    learning_rate: float = Field(0.05, gt=0, le=1, description="of the word's row")
    weight_decay: float = Field(0.01, ge=0, le=1, description="of the word's row (AdamW)")
    token: str = Field("<object>", description="how prompts write the word")
    initial_word: str = Field(
        "",
        max_length=80,
        description="word that it begins as (up to n_rows words); empty: the one that the scorer finds nearest, or of "
        "several rows the two that scorer and prior agree on",
    )
    n_candidates: int = Field(4000, ge=1, description="most frequent words of the vocabulary that the scorer looks at")
    n_rows: int = Field(
        5,
        ge=1,
        le=8,
        description="tokens that the word stands for; small text encoders need one a word",
    )
    templates: tuple[str, ...] = Field(("a {}",), min_length=1, description="sentences that hold the word at {}")
    view_words: bool = Field(True, description="name the view (front, side, back, overhead) in the sentences")
    camera_conditioning: bool = Field(True, description="give the picture's camera to priors that take one")
    named_backgrounds: bool = Field(True, description="put white, grey and black behind, and name it")
    rotation_deg: float = Field(
        5.0, ge=0, le=180, description="largest turn of a version", json_schema_extra={"unit": "degrees"}
    )
    scale: Range = Field((0.93, 1.07), description="smallest and largest enlargement of a version")
    mirrored: Probability = Field(0.5, description="how often a version is a mirror image, seen from the other side")
    jitter: float = Field(0.04, ge=0, le=1, description="largest change of a colour channel's brightness")
    grey: Probability = Field(0.0, description="how often a version has no colours")
    blurred: Probability = Field(0.1, description="how often a version is blurred")
    as_released: bool = Field(
        False, description="RealFusion's code, not its paper: versions reach the encoder in [0, 1], not in [-1, 1]"
    )
    blur_pixels: float = Field(
        0.25, ge=0, le=20, description="the strongest blur's standard deviation", json_schema_extra={"unit": "pixels"}
    )


SENTENCES = (
    "a photo of a {}", "a picture of a {}", "a rendering of a {}", "a close-up photo of a {}", "a photo of one {}",
    "a clean photo of the {}", "a bright photo of the {}", "a dark photo of a {}", "a good photo of the {}",
    "a cropped photo of a {}",
)  # fmt: skip
PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 3000,
        "batch": 4,  # one, accumulated over four
        "learning_rate": 2e-3,
        "n_rows": 1,
        "templates": SENTENCES,
        "view_words": False,
        "named_backgrounds": False,
        "rotation_deg": 10.0,
        "scale": (0.85, 1.15),
        "grey": 0.1,
        "blur_pixels": 2.0,
    },
}
INPUTS = {"image": image_artifacts.ObjectImage, "prior": artifacts.Prior, "scorer": artifacts.Prior}
OPTIONAL_INPUTS = frozenset({"scorer"})
OUTPUT = Concept


def run(job: Job, params: Params) -> None:
    """Teach the prior a word."""
    import torch

    from prior3d.optimisation import late_decay, optimise
    from prior3d.priors.concepts import Concept as Word
    from prior3d.priors.concepts import rows_of_words, teach, text_encoder_digest
    from prior3d.priors.loading import load_text_to_image
    from prior3d.seeds import Seeds

    for template in params.templates:
        if template.count("{}") != 1:
            raise Prior3dError(f"{job.name}.templates: {template!r} must hold {{}} once, where the word goes")
    picture = image_artifacts.ObjectImage.load(job.inputs["image"])
    prior = load_text_to_image(job.prior(), job.device)
    seeds = Seeds(params.seed)
    word = params.initial_word or nearest_words(job, params, prior, picture)
    begun = Word(params.token, word, rows_of_words(prior, word, params.n_rows), text_encoder_digest(prior))
    table = teach(prior, begun)
    table.rows.requires_grad_(True)
    losses = inversion(prior, picture, params, seeds)
    rows = torch.zeros_like(table.rows.data)
    mean = torch.nn.ParameterDict({"rows": torch.nn.Parameter(rows, requires_grad=False)})
    averaged_from = params.steps - max(1, round(AVERAGED * params.steps))

    def with_mean(step: int) -> "dict[str, Tensor]":
        if step > averaged_from:
            mean["rows"].data += (table.rows.data - mean["rows"].data) / (step - averaged_from)
        return losses(step)

    finished = optimise(
        with_mean,
        modules={"rows": torch.nn.ParameterDict({"rows": table.rows}), "mean": mean},
        optimiser=torch.optim.AdamW([table.rows], lr=params.learning_rate, weight_decay=params.weight_decay),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, 0.5, 0.1),
    )
    if not finished:
        return
    if params.steps > averaged_from + 1:
        table.rows.data.copy_(mean["rows"].data)
    Concept.save(job.out, Word(params.token, word, table.rows.detach(), begun.text_encoder_digest))
    (job.out / "concept.txt").write_text(f"{params.token}, begun as {word!r}\n", encoding="utf-8")
    table.rows.requires_grad_(False)
    show(job, params, prior, picture)


def inversion(
    prior: "TextToImagePrior", picture: "ObjectImage", params: Params, seeds: "Seeds"
) -> "Callable[[int], dict[str, Tensor]]":
    """The loss of one step: versions of the picture, noised at all levels, and what the prior says of the noise."""
    import torch

    from prior3d.augmentation import augmented
    from prior3d.backgrounds import NAMED_BACKGROUNDS
    from prior3d.priors.camera_embedding import camera_embedding
    from prior3d.priors.concepts import embed_with_gradient, inversion_loss

    n, view = params.batch, picture.viewpoint
    colours, mask = picture.premultiplied(prior.image_size)
    names, levels = list(NAMED_BACKGROUNDS), torch.tensor(list(NAMED_BACKGROUNDS.values()))
    with_camera = params.camera_conditioning and prior.camera_conditioned
    how = augmentation_of(params)

    def losses(step: int) -> "dict[str, Tensor]":
        generator = seeds.generator("versions")
        images, masks, mirror = augmented(colours, mask, n, how, generator)
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
        # one timestep from each of n equal strata: the same expectation as independent draws, with less variance
        strata = (torch.arange(n) + torch.rand(n, generator=generator)) / n
        timesteps = (strata * prior.n_timesteps).long().to(prior.device)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        text = embed_with_gradient(prior, prompts)
        return {"denoising": inversion_loss(prior, latents, noise, timesteps, text, camera)}

    return losses


def augmentation_of(params: Params) -> "Augmentation":
    """The parameters' changes of the picture."""
    from prior3d.augmentation import Augmentation

    return Augmentation(
        rotation_deg=params.rotation_deg,
        scale=params.scale,
        mirrored=params.mirrored,
        jitter=params.jitter,
        grey=params.grey,
        blurred=params.blurred,
        blur_pixels=params.blur_pixels,
    )


def show(job: Job, params: Params, prior: "TextToImagePrior", picture: "ObjectImage") -> None:
    """The picture, and what the prior makes of the word from all round, as `preview.png`."""
    import torch

    from prior3d.priors.camera_embedding import camera_embedding
    from prior3d.seeds import Seeds
    from stages.guided_views import write_row

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
    images = prior.sample(prompts, camera, guidance_scale=3.0, n_steps=12, generator=generator)
    given = picture.over(1.0, prior.image_size)[None].to(images)
    path = write_row(job.out / "preview.png", torch.cat([given, images]))
    job.progress(
        max(params.steps, 1), max(params.steps, 1), preview=path, text="the picture, and the word from all round"
    )


if __name__ == "__main__":
    main("stages.textual_inversion")
