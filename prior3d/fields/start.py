"""A field at its start, from settings."""

from typing import Literal

from prior3d.fields.grids import DenseGrids, TiledGrid
from prior3d.fields.object_field import FieldConfig
from prior3d.settings.optimisation import FieldSettings


def field_config(settings: FieldSettings, head: Literal["latent", "rgb"], channels: int) -> FieldConfig:
    """What a field with these settings is made of.

    Args:
        settings: grids, network and the initial density.
        head: `latent` (raw values) or `rgb` (through a sigmoid).
        channels: values of a point.
    """
    dense = settings.encoding == "dense"
    tiled = TiledGrid(log2_entries=settings.tiled_log2_entries, finest=settings.tiled_finest)
    return FieldConfig(
        encoding=DenseGrids(settings.grid_resolutions) if dense else tiled,
        head=head,
        channels=channels,
        hidden=settings.hidden,
        density_bias=settings.density_bias,
        blob_density=settings.blob_density,
        blob_radius=settings.blob_radius,
        ball_radius=settings.ball_radius,
        near_plane=settings.near_plane,
        occupancy_resolution=settings.occupancy_resolution,
        occupied_samples=settings.occupied_samples,
    )
