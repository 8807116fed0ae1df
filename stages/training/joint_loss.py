"""What the joint-view prior is trained on: the velocity's error of every frame that is not given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prior3d.cameras import orbit_cameras, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.joint_sets import pluecker_rays
from prior3d.diffusion.scheduling import Schedule, stratified_timesteps
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.compositing import composite
from stages.training.datasets.latents import Latents
from stages.training.datasets.set_batches import SetBatch
from stages.training.datasets.texts import said_of
from stages.training.diffusion_loss import N_TIMESTEPS, noised


@dataclass(frozen=True)
class Frames:
    """A batch as the network takes it, but for the noise.

    Attributes:
        latents: [frames, 4, h, w].
        texts: [frames] what is said of each.
        orbit: azimuth and elevation in degrees, each [frames].
        known: [frames] 1 where the camera is told, else 0.
    """

    latents: Tensor
    texts: list[str]
    orbit: tuple[Tensor, Tensor]
    known: Tensor


def frames_of(
    batch: SetBatch, dataset: RenderedDataset, latents: Latents, drops: dict[str, float], generator: torch.Generator
) -> Frames:
    """Latents, texts and cameras of a batch.

    Args:
        batch: the sets.
        dataset: their images.
        latents: of these.
        drops: fractions: `caption`, `caption_given`, `view_word`, `background`, `camera`.
        generator: on the CPU; draws what is left out.
    """
    device = latents.rgba.device
    found = latents[batch.image.to(device), batch.background.to(device)]
    if (flipped := batch.flipped.nonzero()[:, 0]).numel():
        found[flipped.to(device)] = flipped_latents(batch, flipped, latents)
    views = torch.from_numpy(dataset.views[batch.image.numpy()])
    azimuth = torch.where(batch.flipped, -views[:, 0], views[:, 0])
    drawn, names = torch.rand(4, len(batch.kind), generator=generator), list(BACKGROUNDS)
    has_given = torch.zeros(len(batch.kind)).index_add(0, batch.owner, batch.given.float()) > 0
    silent = drawn[0] < torch.where(has_given, drops["caption_given"], drops["caption"])
    words = view_words(toy_orbit(azimuth, views[:, 1]))
    texts = []
    for i, owner in enumerate(batch.owner.tolist()):
        word = words[i] if drawn[1, owner] >= drops["view_word"] else None
        named = names[int(batch.background[i])] if drawn[2, owner] >= drops["background"] else None
        texts.append("" if silent[owner] else said_of(dataset.caption(int(batch.image[i])), word, named))
    alone = torch.bincount(batch.owner, minlength=len(batch.kind)) == 1
    hidden = (drawn[3] < drops["camera"])[batch.owner] & (batch.given | alone[batch.owner])
    return Frames(found, texts, (azimuth, views[:, 1]), 1.0 - hidden.float())


@torch.no_grad()
def flipped_latents(batch: SetBatch, index: Tensor, latents: Latents) -> Tensor:
    """Latents of flipped images, which are not flipped latents."""
    place = batch.image[index].to(latents.rgba.device)
    images = composite(latents.rgba[place], latents.colours[batch.background[index].to(place.device)])
    encoded: Tensor = latents.vae.encode(images.flip(-1) * 2 - 1).latent_dist.mean
    return encoded


def joint_v_errors(
    unet: Any, encode: Callable[[list[str]], Tensor], batch: SetBatch, frames: Frames, schedule: Schedule, power: float,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Squared error of the predicted velocity of every frame [frames]; 0 where it is given.

    Args:
        unet: a JointUNet.
        encode: texts to embeddings [texts, tokens, width].
        batch: how the frames fall into sets, and which are given.
        frames: what they are.
        schedule: of the noise, for a network that predicts v.
        power: timesteps are T u^power of uniform u.
        generator: draws a timestep for each set, and the noise; on the latents' device.
    """
    device = frames.latents.device
    given, known = batch.given.to(device), frames.known.to(device)
    t = stratified_timesteps(len(batch.kind), N_TIMESTEPS, generator, shuffled=True, power=power)
    t = t[batch.owner.to(device)].masked_fill(given, 0)
    noisy, target = noised(frames.latents, schedule, t, generator)
    seen = given[:, None, None, None]
    size = frames.latents.shape[-1]
    ray = pluecker_rays(orbit_cameras(toy_orbit(*frames.orbit), size, size)).to(device) * known[:, None, None, None]
    mask = seen.float().expand(-1, 1, size, size)
    channels = torch.cat([torch.where(seen, frames.latents, noisy), mask, ray], dim=1)
    distinct = list(dict.fromkeys(frames.texts))
    text = encode(distinct)[[distinct.index(words) for words in frames.texts]]
    camera = camera_embedding(*frames.orbit).to(device) * known[:, None]
    channels = channels.contiguous(memory_format=torch.channels_last)
    said = unet(channels, t, text, class_labels=camera, layout=batch.sizes).sample
    return (said.float() - target).square().mean(dim=(1, 2, 3)) * ~given
