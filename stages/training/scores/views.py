"""How well a views prior shows objects that it was not trained on: numbers, and a sheet of pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prior3d.diffusion.views import ViewsPrior
from prior3d.metrics import psnr_db, ssim
from prior3d.toyworld.palette import BACKGROUNDS
from stages.training.datasets.posed import PosedDataset

CARD_INPUTS = (2, 3, 6)  # input images that the card and the benchmark score with
MOST_INPUTS = 6  # so many of an object's pictures are set aside as inputs, however few of them are given


@dataclass(frozen=True)
class Trial:
    """One object: the numbers of its pictures, inputs first, and its background."""

    inputs: Tensor
    wanted: Tensor
    background: int


def trials(world: PosedDataset, objects: int, wanted: int, seed: int, n_inputs: int = MOST_INPUTS) -> list[Trial]:
    """Objects spread over the world, each with the same wanted views however many inputs are given."""
    chosen = []
    for index in range(objects):
        scene = world.scenes[index * len(world.scenes) // objects]
        order = scene[torch.randperm(len(scene), generator=torch.Generator().manual_seed(seed + index))]
        parts = order[:n_inputs], order[n_inputs : n_inputs + wanted]
        chosen.append(Trial(*parts, index % len(BACKGROUNDS)))
    return chosen


def novel_view_scores(
    prior: ViewsPrior, world: PosedDataset, chosen: list[Trial], n_inputs: int, n_steps: int, seed: int
) -> dict[str, float]:
    """Mean PSNR in dB and SSIM over all wanted views of all trials.

    Args:
        prior: the prior.
        world: held-out objects.
        chosen: the trials.
        n_inputs: pictures given of each object, at most `MOST_INPUTS`.
        n_steps: DDIM steps of the samples, without guidance.
        seed: of the samples' noise.

    Returns:
        For `regression` and `sample`, and for `nearest`, the input picture of the closest viewing direction itself:
        `{what}_psnr_db_{n_inputs}` and `{what}_ssim_{n_inputs}`.
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[Tensor]] = {"regression": [], "sample": [], "nearest": []}
    truths: list[Tensor] = []
    for trial in chosen:
        inputs, truth = trial.inputs[:n_inputs], images_of(world, trial.wanted, trial.background)
        given, cameras = images_of(world, inputs, trial.background), world.cameras[inputs]
        wanted = world.cameras[trial.wanted]
        features, regression = prior.features_and_regression(given, cameras, wanted)
        found["regression"].append(regression.cpu())
        found["sample"].append(prior.draw(features, num_inference_steps=n_steps, generator=generator).cpu())
        closest = (wanted.c2w[:, :3, 2] @ cameras.c2w[:, :3, 2].T).argmax(dim=1)
        found["nearest"].append(given[closest])
        truths.append(truth)
    scores: dict[str, float] = {}
    for what, images in found.items():
        values = mean_scores(torch.cat(images), torch.cat(truths))
        scores |= {f"{what}_{name}_{n_inputs}": value for name, value in values.items()}
    return scores


def autoencoder_psnr_db(prior: ViewsPrior, world: PosedDataset, chosen: list[Trial]) -> float:
    """What the prior's autoencoder alone makes of the wanted views: no sample can be better on average."""
    truth = torch.cat([images_of(world, trial.wanted, trial.background) for trial in chosen])
    with torch.no_grad():
        made = torch.cat([prior.decode(prior.encode(part.to(prior.device))).cpu() for part in truth.split(32)])
    return mean_scores(made, truth)["psnr_db"]


def mean_scores(images: Tensor, truth: Tensor) -> dict[str, float]:
    """Mean over pictures [n, 3, h, w] of each one's PSNR and SSIM."""
    pairs = [tuple(part.permute(1, 2, 0).numpy() for part in pair) for pair in zip(images, truth, strict=True)]
    return {
        "psnr_db": sum(psnr_db(a, b) for a, b in pairs) / len(pairs),
        "ssim": sum(ssim(a, b) for a, b in pairs) / len(pairs),
    }


def sheet(
    prior: ViewsPrior, world: PosedDataset, chosen: list[Trial], n_inputs: int, n_steps: int, seed: int
) -> Tensor:
    """Four rows for each trial: inputs, true views, regression, samples; [height, width, 3] in [0, 1]."""
    generator, rows = torch.Generator().manual_seed(seed), []
    for trial in chosen:
        inputs, truth = trial.inputs[:n_inputs], images_of(world, trial.wanted, trial.background)
        given = images_of(world, inputs, trial.background)
        features, regression = prior.features_and_regression(given, world.cameras[inputs], world.cameras[trial.wanted])
        blank = torch.ones_like(truth)
        blank[: len(given)] = given[: len(blank)]
        for row in (blank, truth, regression, prior.draw(features, num_inference_steps=n_steps, generator=generator)):
            rows.append(torch.cat(list(row.cpu()), dim=-1))
    return torch.cat(rows, dim=-2).permute(1, 2, 0)


def images_of(world: PosedDataset, index: Tensor, background: int) -> Tensor:
    """[n, 3, size, size] over one named background."""
    return world.images(index, torch.full((len(index),), background))
