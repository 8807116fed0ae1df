"""What the scorer is trained on: which caption is whose, the view, and the facts of the caption."""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.diffusion.scorer import CLIP_DEVIATION, CLIP_MEAN
from stages.training.datasets.caption_facts import facts_loss
from stages.training.datasets.pairs import Batch
from stages.training.scorer import Params

LARGEST_LOGIT_SCALE = 100.0  # CLIP's own limit (Radford et al. 2021, section 2.5)


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
    device = clip.logit_scale.device
    deviation, mean = (torch.tensor(v).view(1, 3, 1, 1) for v in (CLIP_DEVIATION, CLIP_MEAN))
    features = image_features(clip.vision_model, ((batch.images - mean) / deviation).to(device), seen)
    # the text tower looks back only, so padding to the longest caption is as good as to the full length
    tokens = tokenizer(batch.captions, padding="longest", truncation=True, return_tensors="pt")
    texts = clip.get_text_features(input_ids=tokens.input_ids.to(device)).pooler_output
    images = functional.normalize(clip.visual_projection(features), dim=-1)
    logits = images @ functional.normalize(texts, dim=-1).T * clip.logit_scale.exp().clamp(max=LARGEST_LOGIT_SCALE)
    loss = contrastive_loss(logits, batch.captions)
    views = batch.views.to(device)
    wrong_view = functional.cross_entropy(models["view_head"](features), views, reduction="none")
    fronted = batch.fronted.to(device).float()
    loss = loss + params.view_weight * (wrong_view * fronted).sum() / fronted.sum().clamp(min=1)
    if params.facts_weight > 0:  # the facts are the toy world's; captions of a wider one say others
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
