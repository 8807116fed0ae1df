"""Settings of a captured scene's field: how it is rendered, optimised and kept smooth."""

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Fraction, FractionOfSteps, Pixels, Rays, Samples, Weight
from prior3d.settings.optimisation import OptimiserSettings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneRenderSettings:
    """How rays of a scene are sampled."""

    rays_per_step: Rays = Field(default=2048, ge=16, le=262_144, description="rays per step")
    n_bins: int = Field(default=64, ge=8, le=1024, description="coarse intervals of a ray; empty ones are skipped")
    samples_per_bin: Samples = Field(default=3, ge=1, le=32, description="samples in an interval")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneOptimiserSettings(OptimiserSettings):
    """Adam on the nodes of a scene's grid: density and colour have learning rates of their own."""

    learning_rate: float = Field(default=0.05, gt=0, le=10, description="of colours and sky")
    density_learning_rate: float = Field(default=0.05, ge=0, le=10, description="of density logits")
    epsilon: float = Field(default=1e-12, gt=0, le=1, description="gradients far below it hardly move a value")
    decay_from: FractionOfSteps = Field(default=0.3, description="when the learning rates begin to fall")
    decay_to: float = Field(
        default=0.05, gt=0, le=1, description="fraction of the learning rates at the end; 1 is no decay"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneRegulariserSettings:
    """What keeps a scene from noise and fog while it is fitted to a capture."""

    smoothness_weight: Weight = Field(default=0.02, description="weight of the differences between neighbouring nodes")
    distortion_weight: Weight = Field(default=0.01, description="weight of the spread of a ray's weight along it")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScenePruningSettings:
    """Which cells of the grid are dropped between two phases, because no ray saw anything in them."""

    min_weight: Fraction = Field(default=0.02, description="cells in which no ray has this weight are dropped")
    observe_from: FractionOfSteps = Field(
        default=0.3, description="of the phase: weights count from here, once the fog has settled"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneSmoothnessSettings:
    """Total variation of a scene while it is fitted to edited images."""

    weight: Weight = Field(default=0.1, description="weight of the differences between neighbouring nodes")
    regularise_residual: bool = Field(
        default=True, description="of colours, smooth only what was added to the unedited scene, so textures stay sharp"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PerceptualSettings:
    """LPIPS on patches of the images."""

    weight: Weight = Field(default=0.0, description="weight of LPIPS on patches; needs weights_file")
    weights_file: str = Field(default="", description="safetensors file with VGG16 and LPIPS weights; none is shipped")
    patch_size: Pixels = Field(default=32, ge=16, le=512, description="side of the patches")

    @model_validator(mode="after")
    def _has_weights(self) -> "PerceptualSettings":
        """The term needs the weights of a network."""
        if self.weight > 0 and not self.weights_file:
            raise ValueError(
                "LPIPS needs weights, and none are shipped; set weights_file to a safetensors file of VGG16 and LPIPS, "
                "or weight to 0"
            )
        return self
