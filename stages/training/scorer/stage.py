"""The body of training.scorer; the package says what it takes, gives and is set by."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from prior3d.devices import choose_device
from prior3d.diffusion.scorer import VIEW_HEAD, VIEW_WORDS
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.datasets.caption_facts import SIZES
from stages.training.datasets.pairs import LARGEST_SEEN, draw_pairs
from stages.training.datasets.tokenizer import build_tokenizer, new_words, with_words
from stages.training.facts import FACTS
from stages.training.families import OLDEST, begin_with_oldest, family_folder
from stages.training.scorer import FOLDER, Params
from stages.training.scorer.losses import pair_loss, patches_to_see
from stages.training.trainer import Meter, Trainer, prepare
from stages.training.weights import load_weights, samples_before, save_averaged, write_facts

READ = ("config.json", "model.safetensors", VIEW_HEAD, "tokenizer.json", "tokenizer_config.json", FACTS)  # not its card


def run(job: Job, params: Params) -> None:
    """Train and save."""
    device, folder = choose_device(params.device), family_folder(job.run_folder, FOLDER, params.family)
    prepare(params.seed, params.threads)
    world = RenderedDataset(job.inputs["world"], "train")
    # the weights on disk know words by the numbers that their own tokenizer gave them
    if params.warm_start:
        begin_with_oldest(job.run_folder, FOLDER, params.family, READ)
    tokenizer = CLIPTokenizer.from_pretrained(folder) if params.warm_start else build_tokenizer()
    models = build(params, tokenizer, min(world.rgba.shape[1], LARGEST_SEEN))
    if params.warm_start:
        load_weights(models["clip"], folder / "model.safetensors")
        load_weights(models["view_head"], folder / VIEW_HEAD)
    if params.family != OLDEST:
        tokenizer = with_words(tokenizer, new_words(tokenizer, world.captions))
        grow(models["clip"], len(tokenizer))
    models = {name: model.to(device) for name, model in models.items()}
    trainer = Trainer(job, models, params, samples_before=samples_before(folder, params.warm_start))
    meter = Meter(trainer, "pairs")
    for step in trainer.steps():
        generator = torch.Generator().manual_seed(hash((params.seed, step)) % 2**62)  # images are drawn on the CPU
        batch = draw_pairs(world, params.batch, params.blurred_share, params.pixel_noise, generator)
        partly = step < params.partly_seen_share * params.steps
        seen = patches_to_see(batch.alpha, params, generator) if partly else None
        loss, matched = pair_loss(models, tokenizer, batch, params, seen)
        trainer.update(loss)
        meter.take(loss, params.batch, partial("{:.0%} of the last batch matched".format, matched))
    save(trainer, tokenizer, folder, params)


def grow(clip: Any, n_words: int) -> None:
    """Give a CLIPModel rows for further words; those that it has keep theirs."""
    text = clip.text_model.embeddings
    known = text.token_embedding.weight.data
    text.token_embedding = nn.Embedding(n_words, known.shape[1])
    nn.init.normal_(text.token_embedding.weight, std=float(known.std()))
    text.token_embedding.weight.data[: len(known)] = known
    clip.config.text_config.vocab_size = n_words


def build(params: Params, tokenizer: Any, image_size: int) -> dict[str, nn.Module]:
    """The CLIPModel, its view head, and a head for the caption's facts, untrained."""
    shape = {
        "hidden_size": params.width,
        "intermediate_size": 4 * params.width,
        "num_attention_heads": params.width // 16,
    }
    config = CLIPConfig(
        projection_dim=params.width,
        text_config={
            **shape,
            "num_hidden_layers": params.text_layers,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": tokenizer.model_max_length,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            **shape,
            "num_hidden_layers": params.vision_layers,
            "image_size": image_size,
            "patch_size": params.patch,
        },
    )
    heads = {"view_head": nn.Linear(params.width, len(VIEW_WORDS)), "facts_head": nn.Linear(params.width, sum(SIZES))}
    return {"clip": CLIPModel(config), **heads}


def save(trainer: Trainer, tokenizer: Any, folder: Path, params: Params) -> None:
    """Write the averaged weights in half precision as a CLIP folder, with its tokenizer and image processor."""
    save_averaged(trainer, "clip", folder)
    side = trainer.averaged("clip").config.vision_config.image_size
    size = {"height": side, "width": side}
    processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size)
    CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)  # a processor keeps it in its own file alone, which older readers do not know
    head = {name: value.half().contiguous() for name, value in trainer.averaged("view_head").state_dict().items()}
    save_file(head, folder / VIEW_HEAD, metadata={"format": "pt"})
    write_facts(folder, trainer, trainer.done * params.batch)
