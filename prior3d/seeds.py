"""Named random generators derived from one seed, so that adding a consumer never shifts another's numbers."""

import hashlib

import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from prior3d.errors import Prior3dError


class Seeds:
    """Hands out one generator a name and device; the same object on every call, so its stream advances.

    Example:
        >>> seeds = Seeds(0)
        >>> torch.rand(2, generator=seeds.generator("cameras")).shape
        torch.Size([2])
    """

    def __init__(self, seed: int):
        self.seed = seed
        self._generators: dict[str, torch.Generator] = {}

    def generator(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """The generator called `name` on `device`, seeded by a hash of (seed, name) when first asked for."""
        key = f"{name}@{torch.device(device)}"
        if key not in self._generators:
            digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
            generator = torch.Generator(device=device)
            generator.manual_seed(int.from_bytes(digest[:7], "big"))
            self._generators[key] = generator
        return self._generators[key]

    def state(self) -> dict[str, UInt8[Tensor, "bytes"]]:
        """The state of every generator handed out so far: uint8 tensors by "name@device"."""
        return {key: generator.get_state() for key, generator in self._generators.items()}

    def restore(self, state: dict[str, Shaped[Tensor, "..."]]) -> None:
        """Set the generators to a saved `state()`; those not in it start afresh from the seed when next asked for.

        Raises:
            Prior3dError: a key is not of the form "name@device".
        """
        self._generators.clear()
        for key, value in state.items():
            name, separator, device = key.rpartition("@")
            if not separator:
                raise Prior3dError(
                    f"random state: found key '{key}', expected 'name@device'. Delete the checkpoint it came from."
                )
            self.generator(name, device).set_state(value.cpu())
