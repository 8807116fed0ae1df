"""Train the toy scorer: a small CLIP that tells which caption a picture of the toy world belongs to.

Images over random named backgrounds are told from each other by their captions, which name neither view nor
background. Two images with the same caption are no negatives of each other. A linear head on the same image tower names
the view; it is trained along, on kinds that have a front, because a second network would cost a second pass over the
same pictures, and the caption's loss alone would teach the tower to forget the view. A second head, which is not kept,
names what the caption says, fact by fact: that teaches the tower shapes sooner than contrast alone does. Most of the
training sees a part of the patches (Li et al. 2023, FLIP), those of the object first, and so twice as many pictures.
"""

import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from pydantic import BaseModel, Field
from safetensors.torch import save_file
from torch import Tensor, nn

from prior3d.cameras import view_words
from prior3d.diffusion.scorer import CLIP_DEVIATION, CLIP_MEAN, VIEW_HEAD, VIEW_WORDS
from prior3d.toyworld.objects import kind_of_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.training.caption_facts import SIZES, facts_loss
from stages.training.common import Device, Trainer, World, composite, load_weights, read_params, report
from stages.training.tokenizer import build_tokenizer

OUT, WORK = Path("data/priors/toy-scorer"), Path(".work/training/scorer")
LARGEST_LOGIT_SCALE = 100.0  # CLIP's own limit (Radford et al. 2021, section 2.5)


class Params(BaseModel, extra="forbid"):
    """How the scorer is trained."""

    seed: int = 0
    steps: int = Field(6_000, ge=1)
    batch: int = Field(128, ge=2, description="image-caption pairs; each is told from all others of its batch")
    learning_rate: float = Field(1e-3, gt=0)
    width: int = Field(128, ge=16, multiple_of=16)
    vision_layers: int = Field(4, ge=1)
    text_layers: int = Field(2, ge=1)
    patch: int = Field(8, ge=1, description="side of a patch in pixels")
    view_weight: float = Field(0.3, ge=0, description="weight of the view classifier's loss")
    facts_weight: float = Field(1.0, ge=0, description="weight of naming kind, colours and pattern")
    blurred_share: float = Field(
        0.3, ge=0, le=1, description="images seen at half resolution, as renders of fields are"
    )
    patches_seen: float = Field(
        0.45, gt=0, le=1, description="share of the patches that are seen at first, those without object left out first"
    )
    partly_seen_share: float = Field(
        0.75, ge=0, le=1, description="share of the steps on a part of the patches; all are seen behind it"
    )
    pixel_noise: float = Field(0.03, ge=0, description="largest standard deviation of noise on the pixels")
    warm_start: bool = Field(False, description="begin with the weights in data/priors/toy-scorer, not with noise")
    threads: int = Field(2, ge=1)
    device: Device = "cpu"


class Batch:
    """Drawn pairs.

    Attributes:
        images: [n, 3, h, w] in 0..1.
        captions: [n] without view and background.
        views: [n] places in `VIEW_WORDS`.
        fronted: [n] whether the object's kind has a front.
        alpha: [n, 1, h, w] opacity of the object.
    """

    def __init__(self, images: Tensor, captions: list[str], views: Tensor, fronted: Tensor, alpha: Tensor):
        self.images, self.captions, self.views, self.fronted, self.alpha = images, captions, views, fronted, alpha


def main() -> None:
    """Train, save, and report the retrieval on held-out renders."""
    train(read_params("scorer", Params))


def train(params: Params) -> None:
    """Train with these parameters in the current folder's `data`."""
    from transformers import CLIPTokenizer

    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)  # only the initial weights use the global generator
    torch.set_flush_denormal(True)
    world = World(Path("data/world"), "train")
    # the weights on disk know words by the numbers that their own tokenizer gave them
    tokenizer = CLIPTokenizer.from_pretrained(OUT) if params.warm_start else build_tokenizer()
    models = build(params, tokenizer, world.rgba.shape[1])
    samples_before = 0
    if params.warm_start:
        facts = json.loads((OUT / "training.json").read_text())
        samples_before = facts["samples"] + facts["samples_before"]
        load_weights(models["clip"], OUT / "model.safetensors")
        load_weights(models["view_head"], OUT / VIEW_HEAD)
    models = {name: model.to(params.device) for name, model in models.items()}
    trainer = Trainer(WORK, models, params.learning_rate, params.steps, params.seed, samples_before=samples_before)
    start, mean = time.monotonic(), 0.0
    for step in trainer.steps():
        generator = torch.Generator().manual_seed(hash((params.seed, step)) % 2**62)  # pictures are drawn on the CPU
        batch = draw_batch(world, params, generator)
        partly = step < params.partly_seen_share * params.steps
        seen = patches_to_see(batch.alpha, params, generator) if partly else None
        loss, right = pair_loss(models, tokenizer, batch, params, seen)
        trainer.update(loss)
        mean += (float(loss.detach()) - mean) / min(step - trainer.first + 1, 100)
        if step % 20 == 0:
            rate = (step + 1 - trainer.first) * params.batch / (time.monotonic() - start)
            text = f"{rate:.0f} pairs/s, {right:.0%} of the last batch matched"
            report(step=step, total=params.steps, loss=round(mean, 4), text=text)
    save(trainer, tokenizer, params)


def build(params: Params, tokenizer: Any, image_size: int) -> dict[str, nn.Module]:
    """The CLIPModel, its view head, and a head for the caption's facts, untrained."""
    from transformers import CLIPConfig, CLIPModel

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


def draw_batch(world: World, params: Params, generator: torch.Generator) -> Batch:
    """Random renders over random named backgrounds, half of them mirrored, some of them blurred or noisy."""
    n = params.batch
    index = torch.randint(len(world), (n,), generator=generator)
    colours = torch.tensor(list(BACKGROUNDS.values()))[torch.randint(len(BACKGROUNDS), (n,), generator=generator)]
    rgba = torch.from_numpy(world.rgba[index.numpy()])
    images, alpha = composite(rgba, colours), rgba[:, None, :, :, 3] / 255
    mirrored = (torch.rand(n, generator=generator) < 0.5)[:, None, None, None]  # no word tells left from right
    images, alpha = (torch.where(mirrored, whole.flip(-1), whole) for whole in (images, alpha))
    captions = [world.caption(i) for i in index.tolist()]
    views = torch.from_numpy(np.array(world.views[index.numpy()]))
    words = view_words(toy_orbit(views[:, 0], views[:, 1]))
    fronted = torch.tensor([kind_of_caption(caption).front for caption in captions])
    views = torch.tensor([VIEW_WORDS.index(word) for word in words])
    return Batch(roughened(images, params, generator), captions, views, fronted, alpha)


def roughened(images: Tensor, params: Params, generator: torch.Generator) -> Tensor:
    """Halve the resolution of some images and put a little noise on all: what is judged is never a clean render."""
    n = len(images)
    coarse = halved(images)
    blurred = torch.rand(n, 1, 1, 1, generator=generator) < params.blurred_share
    deviation = params.pixel_noise * torch.rand(n, 1, 1, 1, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    return (torch.where(blurred, coarse, images) + deviation * noise).clamp(0, 1)


def halved(images: Tensor) -> Tensor:
    """Images [n, 3, h, w] as fields of half the resolution show them, at their own size."""
    return functional.interpolate(functional.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")


def patches_to_see(alpha: Tensor, params: Params, generator: torch.Generator) -> Tensor:
    """Places [n, k] of the patches that are seen: random ones of the object's, then random ones of the background's.

    Args:
        alpha: [n, 1, h, w] opacity of the object.
        params: how many are seen.
        generator: draws them.
    """
    covered = functional.max_pool2d(alpha, params.patch).flatten(1) > 0
    rank = covered + torch.rand(covered.shape, generator=generator)
    return rank.topk(max(1, round(params.patches_seen * rank.shape[1])), dim=1).indices


def image_features(vision: Any, pixels: Tensor, seen: Tensor | None) -> Tensor:
    """What a CLIPVisionModel makes of pixels [n, 3, h, w]: [n, width], of all patches or those at `seen` [n, k]."""
    tokens = vision.pre_layrnorm(vision.embeddings(pixels))
    if seen is not None:
        chosen = torch.cat([torch.zeros_like(seen[:, :1]), 1 + seen], dim=1).to(tokens.device)  # 0: the class token
        tokens = tokens.gather(1, chosen[:, :, None].expand(-1, -1, tokens.shape[2]))
    return vision.post_layernorm(vision.encoder(inputs_embeds=tokens).last_hidden_state[:, 0])


def pair_loss(
    models: dict[str, Any], tokenizer: Any, batch: Batch, params: Params, seen: Tensor | None = None
) -> tuple[Tensor, float]:
    """The loss of a batch, and the share of its images whose nearest caption is their own.

    Args:
        models: `build`'s.
        tokenizer: of the captions.
        batch: the pairs.
        params: the weights of the losses.
        seen: [n, k] places of the patches that are seen; None: all.
    """
    clip = models["clip"]
    deviation, mean = (torch.tensor(v).view(1, 3, 1, 1) for v in (CLIP_DEVIATION, CLIP_MEAN))
    features = image_features(clip.vision_model, ((batch.images - mean) / deviation).to(params.device), seen)
    # the text tower looks back only, so padding to the longest caption is as good as to the full length
    tokens = tokenizer(batch.captions, padding="longest", truncation=True, return_tensors="pt")
    texts = clip.get_text_features(input_ids=tokens.input_ids.to(params.device)).pooler_output
    images = functional.normalize(clip.visual_projection(features), dim=-1)
    logits = images @ functional.normalize(texts, dim=-1).T * clip.logit_scale.exp().clamp(max=LARGEST_LOGIT_SCALE)
    loss = contrastive_loss(logits, batch.captions)
    views = batch.views.to(params.device)
    wrong_view = functional.cross_entropy(models["view_head"](features), views, reduction="none")
    fronted = batch.fronted.to(params.device).float()
    loss = loss + params.view_weight * (wrong_view * fronted).sum() / fronted.sum().clamp(min=1)
    loss = loss + params.facts_weight * facts_loss(models["facts_head"](features), batch.captions)
    nearest = logits.detach().argmax(dim=1).tolist()
    right = [batch.captions[i] == batch.captions[j] for i, j in enumerate(nearest)]
    return loss, sum(right) / len(right)


def contrastive_loss(logits: Tensor, captions: list[str]) -> Tensor:
    """Symmetric cross-entropy of pairs (Radford et al. 2021, figure 3), without the false negatives.

    Args:
        logits: [n, n] scaled cosines, images down and captions across; the pairs lie on the diagonal.
        captions: [n]; where two are equal off the diagonal, neither is a negative of the other and both are left out.
    """
    places = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    kind = torch.tensor([places[caption] for caption in captions], device=logits.device)
    same = (kind[:, None] == kind[None]) & ~torch.eye(len(captions), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(same, float("-inf"))
    target = torch.arange(len(captions), device=logits.device)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def save(trainer: Trainer, tokenizer: Any, params: Params) -> None:
    """Write the averaged weights in half precision as a CLIP folder, with its tokenizer and image processor."""
    from transformers import CLIPImageProcessorPil, CLIPProcessor

    clip = copy.deepcopy(trainer.averaged("clip")).half()
    clip.save_pretrained(OUT)
    side = clip.config.vision_config.image_size
    size = {"height": side, "width": side}
    processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size)
    CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(OUT)
    processor.save_pretrained(OUT)  # a processor keeps it in its own file alone, which older readers do not know
    head = {name: value.half().contiguous() for name, value in trainer.averaged("view_head").state_dict().items()}
    save_file(head, OUT / VIEW_HEAD, metadata={"format": "pt"})
    facts = {"steps": trainer.done, "samples": trainer.done * params.batch, "params": params.model_dump()}
    facts |= {"samples_before": trainer.samples_before}
    (OUT / "training.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
