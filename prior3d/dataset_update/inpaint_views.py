"""An inpainting prior covers a mesh's texture: what is known is rendered, and the rest is filled, view by view.

After Richardson et al. 2023, TEXTure. A view is rendered with the texels known so far. Pixels whose texels no view has
shown yet, or only at a slant, are a hole. The prior fills it: it knows the outline, the pixels beside the hole, the
text and the camera. Its colours go back to the texels that the view sees, weighed by how squarely it sees them.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, orbit_cameras, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.inpainting import InpaintingPrior, InpaintSettings
from prior3d.distillation.backgrounds import choose_background
from prior3d.distillation.view_sampler import view_prompt
from prior3d.images.colours import difference_mask
from prior3d.images.object_image import Viewpoint
from prior3d.meshes.atlas import dilate
from prior3d.meshes.painting import Surface, TexelWeights
from prior3d.meshes.projection import (
    INPAINTED,
    MIRRORED,
    PROJECTED,
    PartialTexture,
    SurfaceTexels,
    blend_by_confidence,
    dilate_charts,
    erode,
    nearest_known,
    off_depth_edges,
    pixel_average,
    project_image,
    seamless_clone,
    texel_visibility,
    view_angle_weight,
)
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings
from prior3d.settings.inpainting import InpaintCameraSettings, InpaintViewSettings

BACKGROUND_TOLERANCE = 0.1  # twice this is how far a pixel must be from the background to count as the object's
CHART_MARGIN = 8  # texels by which a finished texture is continued beyond its charts
COVERED = 0.99  # of a pixel that shows the mesh only


@dataclass
class TextureState:
    """The colours of a surface's texels so far.

    Attributes:
        colours: of the texels.
        confidence: at least 0; 0 where nothing is known.
        base: what stands there while nothing is known.
        source: UNKNOWN, PROJECTED, INPAINTED or MIRRORED.
    """

    colours: Float[Tensor, "texels 3"]
    confidence: Float[Tensor, " texels"]
    base: Float[Tensor, "texels 3"]
    source: UInt8[Tensor, " texels"]

    @property
    def visible(self) -> Float[Tensor, "texels 3"]:
        """Colours, and the base's where nothing is known."""
        return self.colours.where((self.confidence > 0)[:, None], self.base)

    @property
    def known_fraction(self) -> float:
        """Fraction of the texels about which something is known."""
        return float((self.confidence > 0).float().mean())

    def fill_unknown(self, texels: SurfaceTexels) -> None:
        """Give what no view has shown the colour of the nearest known texel; its confidence stays 0."""
        known = self.confidence > 0
        nearest = nearest_known(texels.positions, self.colours, known)
        self.colours = self.colours.where(known[:, None], nearest)


@dataclass(frozen=True)
class FilledView:
    """One view: as it was rendered, its hole, and as it was filled."""

    before: Float[Tensor, "3 height width"]
    hole: Bool[Tensor, "height width"]
    after: Float[Tensor, "3 height width"]


class ViewInpainter:
    """Fills views one after the other and paints the surface with them.

    Args:
        prior: frozen.
        prompt: the object in words.
        surface: the mesh.
        texels: its texels.
        state: what is known at the beginning; it changes.
        seeds: "noise" is drawn here.
        prompting: how prompts name views.
        settings: how holes are filled and texels painted.

    Attributes:
        background: the named background that the object stands out from.
    """

    def __init__(
        self,
        prior: InpaintingPrior,
        prompt: str,
        surface: Surface,
        texels: SurfaceTexels,
        state: TextureState,
        seeds: Seeds,
        prompting: PromptSettings,
        settings: InpaintViewSettings,
    ) -> None:
        self.prior, self.prompt, self.surface, self.texels = prior, prompt, surface, texels
        self.state, self.seeds, self.prompting, self.settings = state, seeds, prompting, settings
        self.background = choose_background(state.visible, but=0.02)

    def fill(self, orbit: Orbit) -> FilledView | None:
        """Paint what one view shows and no view has shown better; None if that is next to nothing."""
        size = self.prior.image_size
        camera = orbit_cameras(orbit, size, size).to(self.surface.device)
        weights = self.surface.texel_weights(camera, self.texels.resolution, self.settings.supersampling)
        image, hole = self._rendered(weights), self._hole(weights)
        if hole.sum() <= self.settings.min_hole_fraction * len(weights.pixels):
            return None
        with torch.no_grad():
            generated = self._generated(image, hole, orbit)
        opaque = weights.coverage[0] > COVERED
        generated = seamless_clone(generated, image, hole & opaque, opaque & ~hole, self.settings.seam_steps)
        after = torch.where(hole, generated, image)
        self._paint(after, hole, camera, weights)
        return FilledView(image, hole, after)

    def checkpoint(self, filled: list[FilledView]) -> dict[str, Shaped[Tensor, "..."]]:
        """All that a checkpoint must hold."""
        state = self.state
        tensors = {"colours": state.colours, "confidence": state.confidence, "source": state.source}
        for number, view in enumerate(filled):
            tensors |= {f"view/{number}/{name}": value for name, value in vars(view).items()}
        return tensors | {f"generator/{key}": value for key, value in self.seeds.state().items()}

    def restore(self, tensors: dict[str, Shaped[Tensor, "..."]], n_filled: int) -> list[FilledView]:
        """Go on from a checkpoint; returns the views that were filled before."""
        state = self.state
        state.colours, state.confidence, state.source = (tensors[k] for k in ("colours", "confidence", "source"))
        generators = {k.removeprefix("generator/"): v for k, v in tensors.items() if k.startswith("generator/")}
        self.seeds.restore(generators)
        names = ("before", "hole", "after")
        return [FilledView(*(tensors[f"view/{n}/{name}"] for name in names)) for n in range(n_filled)]

    def _rendered(self, weights: TexelWeights) -> Float[Tensor, "3 height width"]:
        """The view with the texture as it is, over the background."""
        texture = dilate_charts(self.texels.to_texture(self.state.visible), self.texels)
        image = weights.render(texture) + (1 - weights.coverage)[..., None] * self.background.level
        return image[0].movedim(-1, 0).clamp(0, 1)

    def _hole(self, weights: TexelWeights) -> Bool[Tensor, "height width"]:
        """Pixels whose texels are not known, or known from a view that saw them much worse."""
        known = dilate_charts(self.texels.to_texture(self.state.confidence)[..., None], self.texels)[..., 0]
        now = view_angle_weight(weights.cos_theta, self.settings.view_angle_exponent)
        worse = pixel_average(weights, known) < self.settings.repaint_ratio * now
        return weights.to_images(worse.float()[:, None])[0, ..., 0] > 0.5

    def _generated(
        self, image: Float[Tensor, "3 height width"], hole: Bool[Tensor, "height width"], orbit: Orbit
    ) -> Float[Tensor, "3 height width"]:
        """What the prior makes of the view, all of it through its decoder."""
        prompting, settings = self.prompting, self.settings
        word = view_words(orbit, prompting.front_deg, prompting.overhead_deg)[0] if prompting.view_words else ""
        camera = None
        if prompting.camera_conditioning and self.prior.camera_conditioned:
            camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg)
        how = InpaintSettings(
            guidance_scale=settings.guidance_scale,
            num_inference_steps=settings.num_inference_steps,
            strength=settings.strength,
            negative_prompt=prompting.negative_prompt,
            keep_known=False,
        )
        text = view_prompt(self.prompt, word, self.background.name)
        noise = self.seeds.generator("noise")
        return self.prior.inpaint(image[None], hole[None, None].float(), [text], how, camera, generator=noise)[0]

    def _paint(
        self,
        image: Float[Tensor, "3 height width"],
        hole: Bool[Tensor, "height width"],
        camera: Cameras,
        weights: TexelWeights,
    ) -> None:
        """Paint the texels behind the hole."""
        settings, state = self.settings, self.state
        trust = (weights.coverage[0] > COVERED) & off_depth_edges(self.surface, camera)
        # Where the prior left the background, its object is slimmer than the mesh, and says nothing about its colour.
        generated = difference_mask(image[None], self.background.level, BACKGROUND_TOLERANCE)[0] > 0.5
        trust &= (erode(generated.float(), 1) > 0.5) | ~hole
        visibility, exponent = texel_visibility(self.surface, self.texels, camera), settings.view_angle_exponent
        _, in_hole = project_image(image, (trust & hole).float(), visibility, exponent)
        colours, confidence = project_image(image, trust.float(), visibility, exponent)
        colours = torch.lerp(state.visible, colours, settings.blend_weight)
        better = (in_hole > 0) & (state.confidence < settings.repaint_ratio * confidence)
        confidence = confidence.where(better, 0.0)
        state.source = torch.where(confidence > state.confidence, INPAINTED, state.source).to(torch.uint8)
        state.colours, state.confidence = blend_by_confidence(state.colours, state.confidence, colours, confidence)


def outward_views(settings: InpaintCameraSettings, viewpoint: Viewpoint) -> Orbit:
    """From the image's camera outwards, left and right in turn, to the back; then from above, then from below."""
    steps = (
        torch.arange(1, math.ceil((180 - 1e-3) / settings.azimuth_step_deg)) * settings.azimuth_step_deg
    )  # below 180
    ring = [*torch.stack([steps, -steps], -1).flatten().tolist(), 180.0]
    quarters = [0.0, 90.0, -90.0, 180.0]
    azimuth_deg = (viewpoint.azimuth_deg + torch.tensor([*ring, *quarters, *quarters])) % 360
    heights = [settings.elevation_deg] * len(ring)
    heights += [settings.upper_elevation_deg] * 4 + [settings.lower_elevation_deg] * 4
    same = torch.ones_like(azimuth_deg)
    elevation_deg = torch.tensor(heights, dtype=torch.float32)
    return Orbit(azimuth_deg, elevation_deg, viewpoint.radius * same, viewpoint.fov_deg * same)


def initial_state(
    texels: SurfaceTexels,
    paint: PartialTexture,
    base: Float[Tensor, "resolution resolution 3"] | None,
    image_weight: float,
) -> TextureState:
    """What is known at the beginning.

    Args:
        texels: of the mesh.
        paint: the texture so far, with the image's colours.
        base: what stands where nothing is known; None: the nearest known colour.
        image_weight: factor of the image's confidence beside generated colours.
    """
    colours, confidence = texels.from_texture(paint.colours), texels.from_texture(paint.confidence) * image_weight
    if base is None:
        unknown = nearest_known(texels.positions, colours, confidence > 0)
    else:
        unknown = texels.from_texture(base.to(colours))
    return TextureState(colours, confidence, unknown, texels.from_texture(paint.source))


def finished_texture(texels: SurfaceTexels, state: TextureState, image_weight: float) -> PartialTexture:
    """The state as a texture that is continued beyond its charts; the image's confidence as it came."""
    charts = texels.to_texture(torch.ones_like(state.confidence)) > 0
    colours = dilate(texels.to_texture(state.colours).cpu().numpy(), charts.cpu().numpy(), steps=CHART_MARGIN)
    of_image = (state.source == PROJECTED) | (state.source == MIRRORED)
    confidence = torch.where(of_image, state.confidence / image_weight, state.confidence)
    return PartialTexture(
        torch.from_numpy(colours).to(state.colours), texels.to_texture(confidence), texels.to_texture(state.source)
    )
