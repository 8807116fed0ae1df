"""Read an epipolar transformer, as `prior3d.diffusion.own_networks.save_own` writes it."""

from pathlib import Path

from prior3d.diffusion.epipolar import EpipolarConfig, EpipolarTransformer
from prior3d.diffusion.own_networks import load_own, read_sizes


def load_epipolar(folder: Path) -> EpipolarTransformer:
    """Read a transformer, frozen, in float32 and in evaluation mode, on the CPU.

    Raises:
        Prior3dError: a file is missing or broken, or the weights are not those of the configuration, or not finite.
    """
    epipolar = EpipolarTransformer(epipolar_config(folder))
    load_own(epipolar, folder)
    return epipolar


def epipolar_config(folder: Path) -> EpipolarConfig:
    """Read `epipolar/config.json`.

    Raises:
        Prior3dError: it is missing, not JSON, or lacks a size or has one too many.
    """
    content = read_sizes(folder, EpipolarConfig)
    return EpipolarConfig(**content | {"channels": tuple(content["channels"])})
