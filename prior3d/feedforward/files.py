"""Read a generator that the stage `student` wrote, and make a field by it."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.own_networks import load_own, read_sizes
from prior3d.feedforward.generated_field import kept_field
from prior3d.feedforward.generator import FieldGenerator, GeneratorConfig
from prior3d.fields.object_field import ObjectField

NETWORK = "generator"  # the folder of the network, in that of the student


def load_generator(folder: Path) -> FieldGenerator:
    """Read a generator, frozen, in float32, on the CPU.

    Raises:
        Prior3dError: a file is missing or broken, or the weights are not those of the sizes, or not finite.
    """
    network = FieldGenerator(GeneratorConfig(**read_sizes(folder / NETWORK, GeneratorConfig)))
    load_own(network, folder / NETWORK)
    return network


@torch.no_grad()
def generate(network: FieldGenerator, text: Float[Tensor, "1 tokens text_width"]) -> ObjectField:
    """A field in one pass, to be rendered, meshed, saved or fitted further.

    Args:
        network: from `load_generator`.
        text: embedded by the joint-view prior that it was trained with, e.g. `prior.embed(["a red mug"])`.
    """
    return kept_field(network(text)[0])
