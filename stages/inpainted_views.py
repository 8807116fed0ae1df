"""How the stage `inpainting` covers an atlas: what is known is rendered, and a prior fills the rest, view by view.

A view is rendered with the texels known so far. Pixels whose texels nothing has shown yet, or only at a slant, are a
hole; the prior fills it, knowing the outline, the pixels beside the hole, the text and the camera; what it drew goes
back to the texels that the view sees, weighed by how squarely it sees them (after Richardson et al. 2023, TEXTure).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, orbit_cameras, view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.inpainting import InpaintingPrior, InpaintSettings
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS
from prior3d.distillation.view_sampler import view_prompt
from prior3d.images.colours import difference_mask, most_distinct_background
from prior3d.meshes.painting import Surface, TexelWeights
from prior3d.meshes.projection import (
    INPAINTED,
    SurfaceTexels,
    blend_by_confidence,
    dilate_charts,
    erode,
    off_depth_edges,
    pixel_average,
    project_image,
    seamless_clone,
    texel_visibility,
    view_angle_weight,
)
from prior3d.seeds import Seeds
from stages.inpainting import Params

BACKGROUND_TOLERANCE = 0.1  # twice this is how far a pixel must be from the background to be taken as the object's


@dataclass
class Coat:
    """The paint on a surface's texels so far.

    Attributes:
        colours: [n, 3].
        confidence: [n], 0 where nothing is known.
        base: [n, 3], what stands there while nothing is known.
        source: [n] uint8: UNKNOWN, PROJECTED, INPAINTED or MIRRORED.
    """

    colours: Tensor
    confidence: Tensor
    base: Tensor
    source: Tensor

    @property
    def shown(self) -> Tensor:
        """Colours [n, 3], the base's where nothing is known."""
        return self.colours.where((self.confidence > 0)[:, None], self.base)

    @property
    def known_share(self) -> float:
        """Share of the texels about which something is known."""
        return float((self.confidence > 0).float().mean())


@dataclass(frozen=True)
class FilledView:
    """One view: as it was rendered [3, h, w], its hole [h, w] bool, and as it was filled [3, h, w]."""

    before: Tensor
    hole: Tensor
    after: Tensor


class InpaintedViews:
    """Fills views one after the other and paints the surface with them."""

    def __init__(
        self,
        prior: InpaintingPrior,
        prompt: str,
        surface: Surface,
        points: SurfaceTexels,
        coat: Coat,
        seeds: Seeds,
        params: Params,
    ) -> None:
        """Choose the background that what is known stands out from."""
        self.prior, self.prompt, self.surface, self.points = prior, prompt, surface, points
        self.coat, self.seeds, self.params = coat, seeds, params
        place = most_distinct_background(coat.shown, list(NAMED_BACKGROUNDS.values()), but=0.02)
        self.background, self.level = list(NAMED_BACKGROUNDS.items())[place]

    def fill(self, orbit: Orbit) -> FilledView | None:
        """Paint what one view shows and nothing has shown better; None if that is next to nothing."""
        size = self.prior.image_size
        camera = orbit_cameras(orbit, size, size).to(self.surface.device)
        seen = self.surface.texel_weights(camera, self.points.resolution, self.params.supersampling)
        image, hole = self.rendered(seen), self.hole(seen)
        if hole.sum() <= self.params.smallest_hole * len(seen.pixels):
            return None
        with torch.no_grad():
            drawn = self.drawn(image, hole, orbit)
        after = torch.where(hole, self.blended(image, drawn, hole, seen), image)
        self.take(after, hole, camera, seen)
        return FilledView(image, hole, after)

    def rendered(self, seen: TexelWeights) -> Tensor:
        """The view with the coat as it is, over the background: [3, h, w]."""
        texture = dilate_charts(self.points.to_texture(self.coat.shown), self.points)
        picture = seen.render(texture) + (1 - seen.coverage)[..., None] * self.level
        return picture[0].movedim(-1, 0).clamp(0, 1)

    def hole(self, seen: TexelWeights) -> Tensor:
        """Pixels [h, w] bool whose texels are not known, or known from a view that saw them much worse."""
        known = dilate_charts(self.points.to_texture(self.coat.confidence)[..., None], self.points)[..., 0]
        now = view_angle_weight(seen.cos_theta, self.params.squareness)
        worse = pixel_average(seen, known) < self.params.renewal * now
        return seen.to_images(worse.float()[:, None])[0, ..., 0] > 0.5

    def drawn(self, image: Tensor, hole: Tensor, orbit: Orbit) -> Tensor:
        """What the prior makes of the view, all of it through its decoder: [3, h, w]."""
        p = self.params
        word = view_words(orbit, p.front_deg, p.overhead_deg)[0] if p.view_words else ""
        camera = None
        if p.camera_conditioning and self.prior.camera_conditioned:
            camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg)
        settings = InpaintSettings(
            guidance_scale=p.guidance_scale,
            num_inference_steps=p.denoising_steps,
            strength=p.noise_level,
            negative_prompt=p.negative_prompt,
            keep_known=False,
        )
        text = view_prompt(self.prompt, word, self.background)
        images, holes = image[None], hole[None, None].float()
        return self.prior.inpaint(images, holes, [text], settings, camera, generator=self.seeds.generator("noise"))[0]

    def blended(self, image: Tensor, drawn: Tensor, hole: Tensor, seen: TexelWeights) -> Tensor:
        """What was drawn, shifted so that it meets the known pixels about the hole without a seam."""
        surface = seen.coverage[0] > 0.99
        return seamless_clone(drawn, image, hole & surface, surface & ~hole, self.params.seam_steps)

    def take(self, picture: Tensor, hole: Tensor, camera: Cameras, seen: TexelWeights) -> None:
        """Paint the texels behind the hole with the picture [3, h, w]."""
        trust = (seen.coverage[0] > 0.99) & off_depth_edges(self.surface, camera)
        # Where the prior left the background, its object is slimmer than the mesh, and says nothing about its colour.
        drawn = difference_mask(picture[None], self.level, BACKGROUND_TOLERANCE)[0] > 0.5
        trust &= (erode(drawn.float(), 1) > 0.5) | ~hole
        look = texel_visibility(self.surface, self.points, camera)
        _, in_hole = project_image(picture, (trust & hole).float(), look, self.params.squareness)
        colours, confidence = project_image(picture, trust.float(), look, self.params.squareness)
        coat = self.coat
        colours = torch.lerp(coat.shown, colours, self.params.drawn_share)
        confidence = confidence.where((in_hole > 0) & (coat.confidence < self.params.renewal * confidence), 0.0)
        coat.source = torch.where(confidence > coat.confidence, INPAINTED, coat.source).to(torch.uint8)
        coat.colours, coat.confidence = blend_by_confidence(coat.colours, coat.confidence, colours, confidence)

    def state(self, filled: list[FilledView]) -> dict[str, Tensor]:
        """All that a checkpoint must hold."""
        coat = self.coat
        tensors = {"colours": coat.colours, "confidence": coat.confidence, "source": coat.source}
        for place, view in enumerate(filled):
            tensors |= {f"view/{place}/{name}": value for name, value in vars(view).items()}
        return tensors | {f"generator/{key}": value for key, value in self.seeds.state().items()}

    def restore(self, tensors: dict[str, Tensor], n_filled: int) -> list[FilledView]:
        """Go on from a checkpoint's `state`; returns the views that were filled before."""
        coat = self.coat
        coat.colours, coat.confidence, coat.source = (tensors[k] for k in ("colours", "confidence", "source"))
        generators = {k.removeprefix("generator/"): v for k, v in tensors.items() if k.startswith("generator/")}
        self.seeds.restore(generators)
        names = ("before", "hole", "after")
        return [FilledView(*(tensors[f"view/{n}/{name}"] for name in names)) for n in range(n_filled)]
