"""Low-rank adaptations (LoRA, Hu et al. 2021) of a prior's networks, added to their weights once and for all.

Read are safetensors files as diffusers and peft write them, and as kohya's scripts do, of UNet and text encoder.
Fusing works on the files: no network is built, and one component is in memory at a time.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from prior3d.errors import Prior3dError

PREFIXES = {"unet": ("unet.", "lora_unet_"), "text_encoder": ("text_encoder.", "lora_te_", "lora_te1_")}
# how the two factors are called, by whoever wrote the file
DOWN = re.compile(
    r"^(.*?)(?:\.lora_A|\.lora\.down|\.lora_down|_lora\.down|\.lora_linear_layer\.down)(?:\.default)?\.weight$"
)
UP = {
    ".lora_A": ".lora_B",
    ".lora.down": ".lora.up",
    ".lora_down": ".lora_up",
    "_lora.down": "_lora.up",
    ".lora_linear_layer.down": ".lora_linear_layer.up",
}
DOWN = re.compile(rf"^(.*?)(?:{'|'.join(map(re.escape, UP))})(?:\.default)?\.weight$")


@dataclass(frozen=True)
class Adaptation:
    """What is added to one weight.

    Attributes:
        name: of the weight, as the file has it, without prefix and without the factor's name.
        down: the first factor.
        up: the second one.
        alpha: the product is weighted by alpha / rank.
    """

    name: str
    down: Float[Tensor, "rank inputs *kernel"]
    up: Float[Tensor, "outputs rank *ones"]
    alpha: float

    def change(self, like: Float[Tensor, "outputs inputs *kernel"]) -> Float[Tensor, "outputs inputs *kernel"]:
        """The change of a weight (raises Prior3dError if it is of another shape)."""
        rank = self.down.shape[0]
        product = self.up.flatten(1).float() @ self.down.flatten(1).float()
        if product.numel() != like.numel() or product.shape[0] != like.shape[0] or self.up.flatten(1).shape[1] != rank:
            raise Prior3dError(
                f"lora: {self.name} changes a weight of {tuple(product.shape)}, the prior's is {tuple(like.shape)}; "
                "it was made for another model"
            )
        return product.view_as(like) * (self.alpha / rank)


def load_lora(file: Path) -> list[Adaptation]:
    """The adaptations in a file.

    Raises:
        Prior3dError: it cannot be read, holds none, or has a factor without the other.
    """
    if file.suffix != ".safetensors":
        raise Prior3dError(f"lora {file}: only .safetensors files are read; a pickle can run code")
    try:
        tensors = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise Prior3dError(f"lora {file}: cannot be read ({str(error).splitlines()[0]})") from None
    found = []
    for key, down in tensors.items():
        if not (matched := DOWN.match(key)):
            continue
        word = key[len(matched[1]) :].removesuffix(".weight").removesuffix(".default")
        up = tensors.get(key.replace(word, UP[word]))
        if up is None:
            raise Prior3dError(f"lora {file}: {key} has no second factor; fetch the file again")
        alpha = tensors.get(f"{matched[1]}.alpha")
        name = matched[1].replace(".processor", "")
        found.append(Adaptation(name, down, up, float(down.shape[0] if alpha is None else alpha)))
    if not found:
        raise Prior3dError(f"lora {file}: it holds no low-rank factors that are known here")
    return found


def component_of(adaptation: Adaptation) -> str:
    """Which component an adaptation is of (raises Prior3dError for one of another model)."""
    for component, prefixes in PREFIXES.items():
        if adaptation.name.startswith(prefixes):
            return component
    raise Prior3dError(f"lora: {adaptation.name} is of no component of Stable Diffusion 1.x or 2.x; give another file")


def fused(
    tensors: dict[str, Float[Tensor, "..."]], adaptations: Iterable[Adaptation], component: str, scale: float
) -> tuple[dict[str, Float[Tensor, "..."]], list[Adaptation]]:
    """The weights of a file with the adaptations added, and those that belong to another file.

    Args:
        tensors: names to weights, of a component's file.
        adaptations: of that component.
        component: `unet` or `text_encoder`.
        scale: of all of them; 1 as they were trained.
    """
    places = {_plain(name.removesuffix(".weight")): name for name in tensors if name.endswith(".weight")}
    changed, rest = dict(tensors), []
    for adaptation in adaptations:
        prefix = next(p for p in PREFIXES[component] if adaptation.name.startswith(p))
        name = places.get(_plain(adaptation.name.removeprefix(prefix)))
        if name is None:
            rest.append(adaptation)
            continue
        weight = changed[name]
        changed[name] = (weight.float() + scale * adaptation.change(weight)).to(weight.dtype)
    return changed, rest


def _plain(name: str) -> str:
    """A module's name without what its writers spell differently: dots, and the list that `to_out` is."""
    return name.replace(".", "_").removesuffix("_0") if "to_out" in name else name.replace(".", "_")
