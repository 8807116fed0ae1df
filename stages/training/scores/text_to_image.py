"""Scores of a text-to-image prior of toy objects against exact renders on held-out seeds.

Every generated image has a real twin with the same caption, view and background, so that a figure can be read as a
share of what real renders reach in front of the same judge, the toy scorer.
"""

import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.scorer import VIEW_WORDS, Scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.toyworld.captions import full_caption
from stages.training.datasets.held_out import HeldOut


@torch.no_grad()
def samples(
    prior: TextToImagePrior, real: HeldOut, guidance_scale: float, n_steps: int, seed: int = 0, at_once: int = 20
) -> Tensor:
    """What the prior draws for the captions, views and backgrounds of held-out renders: [n, 3, 64, 64]."""
    generator, made = torch.Generator().manual_seed(seed), []
    for first in range(0, len(real.captions), at_once):
        part = slice(first, first + at_once)
        texts = [
            full_caption(*names)
            for names in zip(real.captions[part], real.words[part], real.backgrounds[part], strict=True)
        ]
        camera = None
        if prior.camera_conditioned:
            camera = camera_embedding(real.azimuth_deg[part], real.elevation_deg[part])
        made.append(
            prior.sample(
                texts, camera, guidance_scale=guidance_scale, num_inference_steps=n_steps, generator=generator
            ).cpu()
        )
    return torch.cat(made)


@torch.no_grad()
def sample_scores(scorer: Scorer, real: HeldOut, drawn: Tensor) -> dict[str, float]:
    """R-Precision among the captions, obeyed view words, and kernel distance, each beside that of the real renders."""
    own = torch.arange(len(real.captions))
    scores: dict[str, float] = {}
    for name, images in (("samples", drawn), ("real", real.images)):
        scores[f"r_precision_{name}"] = scorer.r_precision(images, own, real.captions)
        obeyed = views_obeyed(scorer, real, images)
        scores[f"view_word_{name}"] = float(obeyed[real.fronted].float().mean())
        scores[f"clear_view_word_{name}"] = float(obeyed[real.fronted & real.clear].float().mean())
    embedded = scorer.embed_images(real.images)
    half = len(embedded) // 2
    scores["kid_samples"] = kernel_distance(scorer.embed_images(drawn), embedded)
    scores["kid_real_halves"] = kernel_distance(embedded[:half], embedded[half:])
    return scores


@torch.no_grad()
def views_obeyed(scorer: Scorer, real: HeldOut, images: Tensor) -> Tensor:
    """Whether the judge names each image's view as it was asked for: [n]."""
    wanted = torch.tensor([VIEW_WORDS.index(word) for word in real.words])
    return scorer.view_logits(images).argmax(-1).cpu() == wanted


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """Squared maximum mean discrepancy of two sets of embeddings, unbiased, with KID's cubic kernel.

    Bińkowski et al. 2018, eq. 4, with unit embeddings of the scorer scaled by the root of their width in place of
    Inception's features, so that k(x, y) = (x . y / width + 1)^3 has the same form. It may come out below 0.

    Args:
        first: [n, width] unit.
        second: [m, width] unit.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a.double() @ b.double().T + 1) ** 3

    n, m = len(first), len(second)
    within_first, within_second = kernel(first, first), kernel(second, second)
    same = (within_first.sum() - within_first.diagonal().sum()) / (n * (n - 1))
    same = same + (within_second.sum() - within_second.diagonal().sum()) / (m * (m - 1))
    return float(same - 2 * kernel(first, second).mean())


@torch.no_grad()
def autoencoder_scores(prior: TextToImagePrior, real: HeldOut, at_once: int = 20) -> dict[str, float]:
    """Mean PSNR in dB and mean colour difference (CIEDE2000) of encoding and decoding held-out renders."""
    decoded = torch.cat([prior.decode(prior.encode(part)).cpu() for part in real.images.split(at_once)])
    error = (decoded - real.images).square().mean(dim=(1, 2, 3))
    before, after = (rgb2lab(images.movedim(1, -1).numpy()) for images in (real.images, decoded))
    return {
        "vae_psnr_db": float((-10 * error.log10()).mean()),
        "vae_delta_e": float(deltaE_ciede2000(before, after).mean()),
    }
