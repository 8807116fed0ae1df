"""Latents of every image of a dataset, in the memory of the device that trains."""

from typing import Any

import torch
from torch import Tensor

from prior3d.toyworld.palette import BACKGROUNDS
from stages.training.datasets.compositing import background_colours, composite


class Latents:
    """Latents of every image over every background, in half precision in the memory of the device that has the images.

    On the CPU they are encoded when first asked for, on a GPU all at the beginning. They are encoded so many at a time,
    whoever asks: an image's last bits depend on how many it is encoded with, and must not on where a training stopped.
    """

    def __init__(self, vae: Any, rgba: Tensor, at_once: int | None = None):
        """Take images [n, size, size, 4] uint8, premultiplied, on the autoencoder's device.

        `at_once` are encoded together; None: 16 on the CPU, 1024 elsewhere.
        """
        on_cpu = rgba.device.type == "cpu"
        self.vae, self.rgba, self.at_once = vae, rgba, at_once or (16 if on_cpu else 1024)
        self.colours = background_colours(rgba.device)
        shape = len(rgba), len(BACKGROUNDS)
        side = rgba.shape[1] // 4
        self.store = torch.zeros(*shape, 4, side, side, dtype=torch.float16, device=rgba.device)
        self.known = torch.zeros(shape, dtype=torch.bool, device=rgba.device)
        self.complete = False
        if not on_cpu:
            self.encode_all()

    def __getitem__(self, index: tuple[Tensor, Tensor]) -> Tensor:
        """Latents [n, 4, side, side] of images [n] over backgrounds [n]."""
        image, background = index
        if not self.complete:
            missing = ~self.known[image, background]
            self._encode(image[missing], background[missing])
        return self.store[image, background].float()

    def encode_all(self) -> None:
        """Encode every image over every background."""
        ranges = (torch.arange(n, device=self.rgba.device) for n in self.known.shape)
        self._encode(*torch.cartesian_prod(*ranges).T)
        self.complete = True

    @torch.no_grad()
    def _encode(self, images: Tensor, backgrounds: Tensor) -> None:
        for image, background in zip(images.split(self.at_once), backgrounds.split(self.at_once), strict=True):
            if not len(image):
                continue
            place = torch.arange(self.at_once, device=image.device) % len(image)
            pixels = composite(self.rgba[image[place]], self.colours[background[place]]) * 2 - 1
            latents = self.vae.encode(pixels).latent_dist.mean[: len(image)]
            self.store[image, background] = latents.half()
            self.known[image, background] = True
