"""How much GPU memory a stage will need, from its parameters and its prior's sizes, before anything runs.

Frozen networks, by the number of their parameters. What they hold for a call: multiples of pixels times width, which
were counted for Stable Diffusion's networks by hooks (`tests/flows/test_gpu_estimates.py` counts them again). A field's
tables, their gradients and Adam's moments. Samples of rays.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from prior3d.diffusion.folders import weight_files
from prior3d.errors import Prior3dError
from prior3d.limits import read_json

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
OF_CUDA = 600 * 2**20  # context, libraries and their workspaces
# Bytes held at once, in units of pixels times the first block's width times bytes of a number
UNET, UNET_TRAINED, ENCODER, ENCODER_AGAIN, ENCODER_FROZEN, DECODER = 26.1, 330.0, 23.5, 15.3, 5.0, 6.1
TILED_NUMBERS = 12_200_000  # in the paper's 16 tables
BYTES_OF_SAMPLE, SAMPLES_AT_ONCE, BYTES_KEPT, BYTES_OF_BIN = 1000, 2**18, 40, 72
IN_IMAGES = frozenset({"rgb_refinement", "image_nerf", "texture_refinement"})  # through the encoder, with gradient
KNOWN = IN_IMAGES | {"coarse_nerf", "latent_paint", "textual_inversion", "dataset_update", "inpainting"}
FIELDS = frozenset({"coarse_nerf", "rgb_refinement", "image_nerf"})


@dataclass(frozen=True)
class PriorSizes:
    """Sizes of a Stable Diffusion-like prior.

    Attributes:
        parameters: of the U-Net, the VAE and the text encoder together.
        latent_size, image_size: sides in pixels.
        unet_width, vae_width: channels of their first blocks.
    """

    parameters: int
    latent_size: int
    image_size: int
    unet_width: int
    vae_width: int


def prior_sizes(folder: Path) -> PriorSizes | None:
    """Read from configurations and headers of weights, none of which is loaded; None: of another layout."""
    try:
        unet, vae = (read_json(folder / name / "config.json") for name in ("unet", "vae"))
        latent, n_blocks = int(unet["sample_size"]), len(vae["block_out_channels"])
        names = ("unet", "vae", "text_encoder")
        parameters = sum(numbers_in(file) for name in names for file in weight_files(folder / name, name)[0])
        widths = int(unet["block_out_channels"][0]), int(vae["block_out_channels"][0])
    except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError, Prior3dError):
        return None
    return PriorSizes(parameters, latent, latent * 2 ** (n_blocks - 1), *widths)


def numbers_in(file: Path) -> int:
    """How many numbers a safetensors file holds, by its header."""
    with safe_open(file, framework="numpy") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118


def needed_bytes(stage: str, params: Mapping[str, Any], prior: PriorSizes | None) -> int:
    """What a stage will need at its most; 0: not known."""
    if prior is None or stage not in KNOWN:
        return 0
    number = BYTES[params.get("precision", "float32")]
    sds = params.get("sds") or {}
    views = (params.get("views") or {}).get("per_step", 1)
    pair = 2 * views * UNET * prior.latent_size**2 * prior.unet_width * number
    image = prior.image_size**2 * prior.vae_width * number
    calls = max(pair, DECODER * image)
    if stage == "textual_inversion":
        batch = params.get("batch_size", 1)
        calls = batch * (UNET_TRAINED * prior.latent_size**2 * prior.unet_width * number + ENCODER_FROZEN * image)
    if stage in IN_IMAGES and params.get("mode", "sds") == "sds" and sds.get("weight", 1.0) > 0:
        at_once = sds.get("views_at_once", 0)
        kept = ENCODER_AGAIN * at_once if at_once else ENCODER * views
        calls = max(calls, pair + kept * image)
    tables, searching, held = _field_bytes(stage, params, prior)
    return int(OF_CUDA + prior.parameters * number + tables + max(searching, held + calls))


def _field_bytes(stage: str, params: Mapping[str, Any], prior: PriorSizes) -> tuple[int, int, int]:
    """Of a field's tables; of looking for samples, which ends before the prior is asked; of what rays hold then."""
    if stage not in FIELDS:
        return 0, 0, 0
    field = params.get("field") or {}
    finer = params.get("finer_resolutions")  # of rgb_refinement, whose field comes from coarse_nerf; none: it is tiled
    tiled = field.get("encoding") == "tiled" or (finer is not None and not finer)
    tables = TILED_NUMBERS if tiled else 5 * sum(n**3 for n in field.get("grid_resolutions") or finer or (33,))
    own_size = (params.get("sds") or {}).get("image_size") or prior.image_size
    size = prior.latent_size if stage == "coarse_nerf" else own_size
    rays = (params.get("views") or {}).get("per_step", 1) * size**2
    n_bins = params.get("n_samples", 0)
    samples = rays * (field.get("occupied_samples", 0) or (64 if finer is not None and tiled else n_bins))
    held = BYTES_OF_SAMPLE * min(samples, SAMPLES_AT_ONCE) + BYTES_KEPT * samples
    return 4 * 4 * tables, BYTES_OF_BIN * rays * n_bins, held
