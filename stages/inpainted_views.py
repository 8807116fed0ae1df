"""How the stage `inpainting` covers an atlas: view by view, what is known is rendered and the rest is filled by a prior.

A view is rendered with the texels known so far. Pixels whose texels nothing has shown yet, or only at a slant, are a
hole; the prior fills it, knowing the outline, the pixels beside the hole, the text and the camera; what it drew goes
back to the texels that the view sees, weighed by how squarely it sees them (after Richardson et al. 2023, TEXTure).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.guided_views import view_text

if TYPE_CHECKING:
    from torch import Tensor

    from prior3d.cameras import Cameras, Orbit
    from prior3d.meshes.painting import Footprints, Surface
    from prior3d.meshes.projection import SurfaceTexels
    from prior3d.priors.inpainting import InpaintingPrior
    from prior3d.seeds import Seeds
    from stages.inpainting import Params


@dataclass
class Coat:
    """The paint on a surface's texels so far.

    Attributes:
        colours: [n, 3].
        confidence: [n], 0 where nothing is known.
        base: [n, 3], what stands there while nothing is known.
        source: [n] 0 unknown, 1 projected, 2 inpainted.
    """

    colours: "Tensor"
    confidence: "Tensor"
    base: "Tensor"
    source: "Tensor"

    @property
    def shown(self) -> "Tensor":
        """Colours [n, 3], the base's where nothing is known."""
        return self.colours.where((self.confidence > 0)[:, None], self.base)


@dataclass(frozen=True)
class FilledView:
    """One view: as it was rendered [3, h, w], its hole [h, w], as it was filled [3, h, w], share of it that was hole."""

    before: "Tensor"
    hole: "Tensor"
    after: "Tensor"
    hole_share: float


class InpaintedViews:
    """Fills views one after the other and paints the surface with them."""

    def __init__(
        self,
        prior: "InpaintingPrior",
        prompt: str,
        surface: "Surface",
        points: "SurfaceTexels",
        coat: Coat,
        seeds: "Seeds",
        params: "Params",
    ) -> None:
        """Choose the background that what is known stands out from."""
        from prior3d.backgrounds import NAMED_BACKGROUNDS
        from prior3d.colours import most_distinct_background

        self.prior, self.prompt, self.surface, self.points = prior, prompt, surface, points
        self.coat, self.seeds, self.params = coat, seeds, params
        place = most_distinct_background(coat.shown, list(NAMED_BACKGROUNDS.values()), but=0.02)
        self.background, self.level = list(NAMED_BACKGROUNDS.items())[place]

    def fill(self, orbit: "Orbit") -> "FilledView | None":
        """Paint what one view shows and nothing has shown better; None if that is next to nothing."""
        import torch

        from prior3d.cameras import orbit_cameras

        size = self.prior.diffusion.image_size
        camera = orbit_cameras(orbit, size, size).to(self.surface.device)
        seen = self.surface.footprints(camera, self.points.resolution, self.params.supersampling)
        image, hole = self.rendered(seen), self.hole(seen)
        share = float(hole.sum() / max(len(seen.pixels), 1))
        if share < self.params.smallest_hole:
            return None
        with torch.no_grad():
            drawn = self.drawn(image, hole, orbit)
        after = torch.where(hole, self.blended(image, drawn, hole, seen), image)
        self.take(after, hole, camera, seen)
        return FilledView(image, hole, after, share)

    def rendered(self, seen: "Footprints") -> "Tensor":
        """The view with the coat as it is, over the background: [3, h, w]."""
        from prior3d.meshes.projection import grown

        texture = grown(self.points.whole(self.coat.shown), self.points)
        picture = seen.paint(texture) + (1 - seen.coverage)[..., None] * self.level
        return picture[0].movedim(-1, 0).clamp(0, 1)

    def hole(self, seen: "Footprints") -> "Tensor":
        """Pixels [h, w] bool whose texels are not known, or known from a view that saw them much worse."""
        from prior3d.meshes.projection import faded, grown, painted_share

        known = grown(self.points.whole(self.coat.confidence)[..., None], self.points)[..., 0]
        now = faded(seen.facing, self.params.squareness)
        worse = painted_share(seen, known) < self.params.renewal * now
        return seen.spread(worse.float()[:, None])[0, ..., 0] > 0.5

    def drawn(self, image: "Tensor", hole: "Tensor", orbit: "Orbit") -> "Tensor":
        """What the prior makes of the view, all of it through its decoder: [3, h, w]."""
        from prior3d.cameras import view_words
        from prior3d.priors.camera_embedding import camera_embedding

        p, diffusion = self.params, self.prior.diffusion
        word = view_words(orbit, p.front_deg, p.overhead_deg)[0] if p.view_words else ""
        camera = None
        if p.camera_conditioning and diffusion.camera_conditioned:
            camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg)
        return self.prior.inpaint(
            image[None],
            hole[None, None].float(),
            [view_text(self.prompt, word, self.background)],
            camera,
            guidance_scale=p.guidance_scale,
            n_steps=p.denoising_steps,
            generator=self.seeds.generator("noise"),
            negative_prompt=p.negative_prompt,
            keep_known=False,
            start=image[None] if p.noise_level < 1 else None,
            noise_level=p.noise_level,
        )[0]

    def blended(self, image: "Tensor", drawn: "Tensor", hole: "Tensor", seen: "Footprints") -> "Tensor":
        """What was drawn, shifted so that it meets the known pixels about the hole without a seam."""
        from prior3d.meshes.projection import seamless

        surface = seen.coverage[0] > 0.99
        return seamless(drawn, image, hole & surface, surface & ~hole, self.params.seam_steps)

    def take(self, picture: "Tensor", hole: "Tensor", camera: "Cameras", seen: "Footprints") -> None:
        """Paint the texels behind the hole with the picture [3, h, w]."""
        import torch

        from prior3d.meshes.projection import away_from_edges, look_at, merged, project_picture

        trust = (seen.coverage[0] > 0.99) & away_from_edges(self.surface, camera)
        look = look_at(self.surface, self.points, camera)
        _, in_hole = project_picture(picture, (trust & hole).float(), look, self.params.squareness)
        colours, confidence = project_picture(picture, trust.float(), look, self.params.squareness)
        coat = self.coat
        confidence = confidence.where((in_hole > 0) & (coat.confidence < self.params.renewal * confidence), 0.0)
        coat.source = torch.where(confidence > coat.confidence, 2.0, coat.source)
        coat.colours, coat.confidence = merged(coat.colours, coat.confidence, colours, confidence)
