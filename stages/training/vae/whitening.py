"""Whitening of an autoencoder's latents."""

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def whiten(vae: Any, latents: Tensor) -> None:
    """Fold the ZCA whitening of latents [n, 4, h, w] into the two 1x1 convolutions; the variance becomes negligible."""
    flat = latents.cpu().permute(1, 0, 2, 3).flatten(1).double()  # which Metal lacks
    mean = flat.mean(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh((flat - mean) @ (flat - mean).T / flat.shape[1])
    forward = (vectors @ torch.diag(values.rsqrt()) @ vectors.T).float()
    backward = (vectors @ torch.diag(values.sqrt()) @ vectors.T).float()
    shift = mean[:, 0].float()
    quant, post = vae.quant_conv, vae.post_quant_conv
    channels = len(shift)
    weight = quant.weight[:channels, :, 0, 0].clone()
    quant.weight[:channels, :, 0, 0] = forward @ weight
    quant.bias[:channels] = forward @ (quant.bias[:channels] - shift)
    quant.weight[channels:].zero_()
    quant.bias[channels:] = -12.0  # log variance
    old = post.weight[:, :, 0, 0].clone()
    post.weight[:, :, 0, 0] = old @ backward
    post.bias += old @ shift
