"""The body of training.joint_views; the package says what it takes, gives and is set by."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTokenizer

from prior3d.devices import choose_device
from prior3d.diffusion.folders import RAYS_AND_MASK
from prior3d.diffusion.joint_unet import JointUNet
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.diffusion.prompt_encoder import PromptEncoder
from prior3d.limits import read_json
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import CAMERA_RADIUS, FOV_DEG
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.conditional import copy_parts, frozen_prior, open_text_encoder, train
from stages.training.datasets.latents import Latents
from stages.training.datasets.set_batches import draw_sets
from stages.training.facts import FACTS
from stages.training.families import begin_with_oldest, family_folder
from stages.training.joint_loss import frames_of, joint_v_errors
from stages.training.joint_views import FOLDER, Params
from stages.training.scores.joint_views import sample_sheet
from stages.training.trainer import Trainer, lower_precision, prepare
from stages.training.weights import load_weights, samples_before, save_averaged, write_facts, write_index

FROZEN = ("vae", "scheduler", "tokenizer", "text_encoder")
INDEX = {
    "_class_name": "JointViewsPrior",
    "camera_radius": CAMERA_RADIUS,
    "fov_deg": FOV_DEG,
    "unet": ["prior3d.diffusion.joint_unet", "JointUNet"],
}


def run(job: Job, params: Params) -> None:
    """Train and save."""
    device = str(choose_device(params.device))
    folder, toy = family_folder(job.run_folder, FOLDER, params.family), job.inputs["text_to_image"]
    prepare(params.seed, params.threads)
    if params.warm_start:
        begin_with_oldest(job.run_folder, FOLDER, params.family, ("unet", FACTS))
    unet = begin(folder, toy, params.warm_start).to(device, memory_format=torch.channels_last)
    tokenizer = CLIPTokenizer.from_pretrained(toy / "tokenizer")
    own = params.train_text and params.warm_start and (folder / "text_encoder").exists()
    words = (folder if own else toy) / "text_encoder"
    encoder = open_text_encoder(words, len(tokenizer)).requires_grad_(params.train_text).to(device)
    models = {"unet": unet} | ({"text_encoder": encoder} if params.train_text else {})
    trainer = Trainer(job, models, params, samples_before=samples_before(folder, params.warm_start))
    copy_parts(toy, folder, tuple(part for part in FROZEN if not (own and part == "text_encoder")), trainer.path)
    shown = trainer.averaged("text_encoder") if params.train_text else encoder.eval()
    prior = drawing_prior(folder, trainer.averaged("unet"), shown, tokenizer, device)
    encode = partial(embedded, PromptEncoder(encoder, tokenizer), params.train_text)
    dataset, held_out = (RenderedDataset(job.inputs["sets"], split) for split in ("train", "held-out"))
    latents = Latents(prior.diffusion.vae, torch.from_numpy(dataset.rgba).to(device))
    loss_of = partial(step_loss, unet, encode, prior, dataset, latents, params)
    train(trainer, params.batch, loss_of, partial(sheet, prior, held_out))
    save(trainer, toy, folder, params)


def sheet(prior: JointViewsPrior, held_out: RenderedDataset) -> Tensor:
    """What the weights draw now; texts are embedded anew, since the text encoder may have learnt."""
    prior.diffusion.prompts.forget()
    return sample_sheet(prior, held_out, objects=2)


def drawing_prior(folder: Path, unet: Any, encoder: Any, tokenizer: Any, device: str) -> JointViewsPrior:
    """The prior that samples are drawn with while others of its networks are trained."""
    return JointViewsPrior(frozen_prior(folder, unet, encoder, tokenizer, device), CAMERA_RADIUS, FOV_DEG)


def begin(folder: Path, toy: Path, warm_start: bool) -> Any:
    """The network that the training begins with: the text-to-image model's, or the weights on disk.

    What the former has not is such that the first step computes what it does: zeros, or blocks that add nothing.
    """
    config = JointUNet.load_config(toy / "unet")
    unet = JointUNet.from_config(config, in_channels=config["out_channels"] + RAYS_AND_MASK)
    if warm_start:
        load_weights(unet, folder / "unet/diffusion_pytorch_model.safetensors")
        return unet
    weights = {name: t.float() for name, t in load_file(toy / "unet/diffusion_pytorch_model.safetensors").items()}
    first = torch.zeros_like(unet.conv_in.weight.data)
    first[:, : weights["conv_in.weight"].shape[1]] = weights["conv_in.weight"]
    joint = {name: t for name, t in unet.state_dict().items() if name.startswith("joint.")}
    unet.load_state_dict(weights | joint | {"conv_in.weight": first}, strict=True)
    return unet


def step_loss(
    unet: Any, encode: Callable[[list[str]], Tensor], prior: JointViewsPrior, dataset: RenderedDataset,
    latents: Latents, params: Params, generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """The mean error of the frames that a step draws."""
    device = str(prior.device)
    drawing = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=generator, device=device)))
    objects = len(dataset.captions)
    batch = draw_sets(
        params.batch, params.shares, objects, len(dataset) // objects, len(BACKGROUNDS), params.mirror_share, drawing
    )
    names = ("caption", "caption_given", "view_word", "background", "camera")
    frames = frames_of(batch, dataset, latents, {name: getattr(params, f"drop_{name}") for name in names}, drawing)
    with lower_precision(device, params.precision):
        errors = joint_v_errors(unet, encode, batch, frames, prior.schedule, params.timestep_power, generator)
    return errors.sum() / (~batch.given).sum()


def embedded(prompts: PromptEncoder, with_gradient: bool, texts: list[str]) -> Tensor:
    """Embeddings of texts, together: there are too many to keep each."""
    with torch.set_grad_enabled(with_gradient):
        return prompts.embed_with_gradient(texts)


def save(trainer: Trainer, toy: Path, folder: Path, params: Params) -> None:
    """Write the averaged weights in half precision into a folder that holds the frozen parts already."""
    for name in trainer.models:
        save_averaged(trainer, name, folder / name)
    parts = {name: kind for name, kind in read_json(toy / "model_index.json").items() if name in FROZEN}
    write_index(folder, INDEX | parts)
    write_facts(folder, trainer, trainer.done * params.batch, unit="sets", began_with=f"data/priors/{params.family}")
