"""The body of training.student; the package says what it takes, gives and is set by."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Orbit
from prior3d.devices import choose_device
from prior3d.diffusion.joint_text import JointTextPrior
from prior3d.diffusion.joint_views import JointViewsPrior, load_joint_views
from prior3d.diffusion.own_networks import OWN_WEIGHTS, save_own
from prior3d.errors import Prior3dError
from prior3d.feedforward.files import NETWORK
from prior3d.feedforward.generated_field import GeneratedField
from prior3d.feedforward.generator import FieldGenerator, GeneratorConfig
from prior3d.feedforward.supervision import asked_of, clean_views, image_loss, pixel_rays
from prior3d.rendering import render_without_gradient
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.objects import caption, draw_design, find_category, object_generator
from prior3d.toyworld.palette import BACKGROUNDS
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.conditional import train
from stages.training.datasets.sets import set_views
from stages.training.student import FOLDER, Params
from stages.training.trainer import Trainer, prepare
from stages.training.weights import load_weights, samples_before, write_facts

RING = 4
SHOWN = ("a red mushroom with white dots", "a blue chair", "a yellow duck", "a white house with a red roof")


@dataclass(frozen=True)
class Example:
    """What a field of a step is compared with: a caption, its views' cameras, and their images or a place for them.

    Attributes:
        text: the caption.
        background: name of what lies behind the object.
        orbit: four cameras of the prior.
        images: over the background; None: the prior says what they should be.
    """

    text: str
    background: str
    orbit: Orbit
    images: Float[Tensor, "views 3 size size"] | None


def run(job: Job, params: Params) -> None:
    """Train and save."""
    device = choose_device(params.device)
    folder = student_folder(job.run_folder, params.folder)
    prepare(params.seed, params.threads)
    prior = load_joint_views(job.inputs["joint_views"], device)
    views = RenderedDataset(job.inputs["views"], "train") if "views" in job.inputs else None
    if params.views_share and views is None:
        raise Prior3dError(f"{job.name}: views_share is {params.views_share:g}, but there are no views; give --views")
    if views is not None and views.rgba.shape[1] != prior.image_size:
        size = prior.image_size
        raise Prior3dError(f"{job.name}: the views have {views.rgba.shape[1]} pixels a side; render them with {size}")
    text_width = prior.embed([""]).shape[-1]
    network = FieldGenerator(GeneratorConfig(text_width, params.width, params.layers, nodes=params.nodes))
    if params.warm_start:
        load_weights(network, folder / NETWORK / OWN_WEIGHTS)
    trainer = Trainer(
        job, {NETWORK: network.to(device)}, params, samples_before=samples_before(folder, params.warm_start)
    )
    teacher = Teacher(prior, views, params, trainer)
    train(trainer, params.batch, teacher.loss, lambda: sheet(prior, trainer.averaged(NETWORK)))
    save_own(trainer.averaged(NETWORK), folder / NETWORK)
    write_facts(folder, trainer, trainer.done * params.batch, unit="captions")


def student_folder(run_folder: Path, name: str) -> Path:
    """Where a student lies (raises Prior3dError if its name is no plain folder name)."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise Prior3dError(f"student {name!r}: write its name in letters and numbers, e.g. distilled")
    return run_folder / FOLDER / name


class Teacher:
    """Draws a step's captions, and says how far the renders of its fields are from what they should be."""

    def __init__(self, prior: JointViewsPrior, views: RenderedDataset | None, params: Params, trainer: Trainer) -> None:
        """Take the prior and the views as they are."""
        self.prior, self.views, self.params, self.trainer = prior, views, params, trainer
        self.judge = JointTextPrior(prior)

    def loss(self, generator: torch.Generator) -> Tensor:
        """The mean loss of a step's fields."""
        drawing = torch.Generator().manual_seed(
            int(torch.randint(2**62, (), generator=generator, device=generator.device))
        )
        examples = [self.example(drawing) for _ in range(self.params.batch)]
        text = self.prior.embed([example.text for example in examples])
        grids = self.trainer.models[NETWORK](text)
        losses = [
            self.field_loss(GeneratedField(grid), example, drawing, generator)
            for grid, example in zip(grids, examples, strict=True)
        ]
        return torch.stack(losses).mean()

    def example(self, drawing: torch.Generator) -> Example:
        """A caption with a ring of cameras, and with images where it comes from disk."""
        background = list(BACKGROUNDS)[_number(len(BACKGROUNDS), drawing)]
        if self.views is not None and float(torch.rand((), generator=drawing)) < self.params.views_share:
            return self.from_disk(self.views, background, drawing)
        rng = object_generator(self.params.seed, _number(2**30, drawing), "train")
        design = draw_design(rng)
        kind = find_category(design.category)
        text = caption(kind, design.main, design.pattern, design.named_part, design.accent)
        azimuth_deg, elevation_deg = set_views(rng, RING)
        orbit = self.prior.orbit(torch.from_numpy(azimuth_deg).float(), torch.from_numpy(elevation_deg).float())
        return Example(text, background, orbit, None)

    def from_disk(self, views: RenderedDataset, background: str, drawing: torch.Generator) -> Example:
        """Four views of one object."""
        n_views = len(views) // len(views.captions)
        first = n_views * _number(len(views.captions), drawing)
        chosen = (first + torch.randperm(n_views, generator=drawing)[:RING]).numpy()
        angles = torch.from_numpy(views.views[chosen]).float()
        rgba = torch.from_numpy(views.rgba[chosen]).float().movedim(-1, 1) / 255
        level = torch.tensor(BACKGROUNDS[background])[:, None, None]
        images = rgba[:, :3] + (1 - rgba[:, 3:]) * level
        orbit = self.prior.orbit(angles[:, 0], angles[:, 1])
        return Example(views.caption(first), background, orbit, images.to(self.prior.device))

    def field_loss(
        self, field: GeneratedField, example: Example, drawing: torch.Generator, generator: torch.Generator
    ) -> Tensor:
        """The loss of one field."""
        level = torch.tensor([BACKGROUNDS[example.background]], device=self.prior.device)
        wanted = example.images if example.images is not None else self.clean(field, example, level, drawing, generator)
        origins, directions = pixel_rays(self.prior, example.orbit)
        chosen = torch.randint(len(origins), (self.params.rays,), generator=drawing).to(origins.device)
        colours = wanted.movedim(1, -1).reshape(-1, 3)[chosen]
        rays = origins[chosen], directions[chosen]
        return image_loss(field, rays, colours, level, self.params.n_samples, self.params.opacity_weight, generator)

    def clean(
        self, field: GeneratedField, example: Example, level: Tensor, drawing: torch.Generator,
        generator: torch.Generator,
    ) -> Tensor:  # fmt: skip
        """What the prior sees in the field's own renders."""
        params, prior = self.params, self.prior
        cameras = prior.cameras(example.orbit).to(prior.device)
        shown, _, _ = render_without_gradient(field, cameras, params.n_samples, level[0])
        fallen = min(1.0, 2 * self.trainer.progress)
        least = params.least_noise_at_start + (params.least_noise - params.least_noise_at_start) * fallen
        noise = least + (params.most_noise - least) * float(torch.rand((), generator=drawing))
        text = full_caption(example.text, None, example.background)
        asked = asked_of(self.judge, text, example.orbit, params.guidance_scale)
        timestep = int(noise * (prior.n_timesteps - 1))
        images = shown.movedim(-1, 1).clamp(0, 1)
        return clean_views(self.judge, images, asked, timestep, params.guidance_rescale, generator)


@torch.no_grad()
def sheet(prior: JointViewsPrior, network: FieldGenerator) -> Float[Tensor, "3 height width"]:
    """A row of four views of each of a few fields."""
    orbit = prior.orbit(torch.tensor([0.0, 90.0, 180.0, 270.0]), torch.full((4,), 15.0))
    cameras, rows = prior.cameras(orbit).to(prior.device), []
    for text in SHOWN:
        field = GeneratedField(network(prior.embed([text]))[0])
        images, _, _ = render_without_gradient(field, cameras, 64, torch.ones(3, device=prior.device))
        rows.append(torch.cat(list(images.movedim(-1, 1)), dim=-1))
    return torch.cat(rows, dim=-2).clamp(0, 1)


def _number(below: int, drawing: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=drawing))
