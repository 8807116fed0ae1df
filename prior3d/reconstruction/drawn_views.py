"""Views of one object that a joint-view prior draws, from words or given images of it, as inputs of a fit.

The prior knows cameras on a sphere about the object and three flat backgrounds. The one that is farthest from the
object's colours is chosen, so that masks can be told from what is drawn. A prior that was not taught to draw over a
background that it is told, like MVDream, chooses its own; masks are then told from the drawings' borders.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, view_words
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.images.colours import difference_mask, estimate_alpha, most_distinct_background
from prior3d.reconstruction.drawn_borders import cut_out_by_borders
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.view_targets import premultiplied
from prior3d.settings.joint_views import DrawingSettings, GivenSettings
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS, COLOURS
from prior3d.toyworld.vocabulary import default_colours

# azimuth and elevation of the further views: given a ring, or round the camera of a given image
GIVEN_RING_DEG = ((45, 30), (135, 30), (225, 30), (315, 30), (0, 65), (180, 65), (60, -5), (240, -5))
GIVEN_IMAGE_DEG = (
    *((22.5 + 45 * i, (15, 30)[i % 2]) for i in range(8)),
    *((60, -5), (240, -5), (0, 60), (180, 60)),
)
WORDLESS_VIEWS = 8  # without a text, more views in one set come out torn
DIFFERENT = 0.06  # from the background, in any channel: less counts for nothing
SOLID = 0.7  # mask above which a pixel shows the object's own colour


@dataclass(frozen=True)
class Background:
    """A flat background that the prior knows, by its name in texts and its level of R, G and B."""

    name: str
    level: float


@dataclass(frozen=True)
class GivenViews:
    """Images that views are drawn given.

    Attributes:
        colours: premultiplied by the masks, at the prior's image_size.
        masks: in [0, 1].
        orbit: where the prior takes them to be seen from.
        cameras: where they are seen from; the prior's own cameras, or others.
        weights: of each image in the fit, relative to the views drawn at one camera.
        n_shown: how many of them, the first, the prior sees; the fit sees all. None: all.
    """

    colours: Float[Tensor, "given 3 size size"]
    masks: Float[Tensor, "given size size"]
    orbit: Orbit
    cameras: Cameras
    weights: Float[Tensor, "given"]
    n_shown: int | None = None

    def over(self, level: float) -> Float[Tensor, "given 3 size size"]:
        """The images over a flat background."""
        return self.colours + (1 - self.masks[:, None]) * level


@dataclass(frozen=True)
class DrawnViews:
    """Views of one object, all of one size.

    Attributes:
        views: given images first, then drawn ones.
        n_given: how many are given, mirror images included.
        background: of the drawings; of a prior that chooses it, the one that given images lie over.
        n_lost: how many further views were drawn in which no object could be told from the background.
    """

    views: InputViews
    n_given: int
    background: Background
    n_lost: int = 0


def background_for_text(text: str) -> Background:
    """The background that is farthest from the colours that a text names, and from those that its thing has unsaid."""
    words = text.replace(",", " ").split()
    named = [COLOURS[word] for word in (*words, *default_colours(text)) if word in COLOURS]
    return _farthest(torch.tensor(named or [(0.5, 0.5, 0.5)]), but=0.0)


def background_for_images(given: GivenViews) -> Background:
    """The background that is farthest from the colours of given images where they are solid."""
    solid = given.masks > SOLID
    return _farthest(given.colours.movedim(1, -1)[solid] / given.masks[solid][:, None], but=0.05)


def text_views(prior: JointViewsPrior, text: str, settings: DrawingSettings, generator: torch.Generator) -> DrawnViews:
    """A ring of views drawn from words, and eight more drawn given the ring.

    Args:
        prior: the joint-view prior; one that takes no given views draws the ring alone.
        text: what the object is.
        settings: of the drawing.
        generator: draws all noise.
    """
    behind = background_for_text(text)
    artist = Artist(prior, text, behind, settings, generator)
    n, elevation_deg = settings.ring_views, settings.ring_elevation_deg
    ring = directions(prior, [(360.0 * place / n, elevation_deg) for place in range(n)])
    images, orbits = [artist.draw(ring)], [ring]
    if settings.views_at_once and prior.takes_given:
        further = directions(prior, GIVEN_RING_DEG)
        for first in range(0, further.views, settings.views_at_once):
            orbits.append(further[slice(first, first + settings.views_at_once)])
            images.append(artist.draw(orbits[-1], images[0], ring))
    views = artist.cut_out(torch.cat(images), joined(*orbits))
    return DrawnViews(views, 0, behind, sum(map(len, images)) - len(views.colours))


def image_views(
    prior: JointViewsPrior,
    text: str,
    given: GivenViews,
    settings: DrawingSettings,
    counted: GivenSettings,
    generator: torch.Generator,
    weight: float = 1.0,
) -> DrawnViews:
    """Views from all round drawn given images, several sets of them, behind the images themselves.

    Args:
        prior: the joint-view prior; it must take given views.
        text: what the object is; empty: the images alone say it.
        given: the images, mirror images included.
        settings: of the drawing.
        counted: how many sets, and how the images count beside them.
        generator: draws all noise.
        weight: of the drawn views.
    """
    behind = background_for_images(given)
    around = GIVEN_IMAGE_DEG if text else GIVEN_IMAGE_DEG[:WORDLESS_VIEWS]
    first_deg = float(given.orbit.azimuth_deg[0])
    wanted = directions(prior, [(first_deg + azimuth_deg, elevation_deg) for azimuth_deg, elevation_deg in around])
    artist = Artist(prior, text, behind, settings, generator)
    shown = slice(0, given.n_shown)
    images = artist.draw(wanted, given.over(behind.level)[shown], given.orbit[shown], counted.n_sets)
    drawn = artist.cut_out(images, joined(*[wanted] * counted.n_sets))
    assert drawn.masks is not None, "a drawing has masks"
    weights = counted.n_sets * given.weights.to(drawn.weights)[:, None, None].expand_as(given.masks)
    views = InputViews(
        torch.cat([given.colours.to(drawn.colours), drawn.colours]),
        torch.cat([given.masks.to(drawn.masks), drawn.masks]),
        torch.cat([weights, weight * drawn.weights]),
        _together(given.cameras, drawn.cameras),
    )
    return DrawnViews(views, len(given.colours), behind, len(images) - len(drawn.colours))


@dataclass(frozen=True)
class Artist:
    """Draws views of one object.

    Attributes:
        prior: the joint-view prior.
        text: what the object is; empty: nothing is said.
        behind: the background, which the text names.
        settings: of the drawing.
        generator: draws the noise.
    """

    prior: JointViewsPrior
    text: str
    behind: Background
    settings: DrawingSettings
    generator: torch.Generator

    def draw(
        self,
        wanted: Orbit,
        given: Float[Tensor, "given 3 size size"] | None = None,
        seen_from: Orbit | None = None,
        sets: int = 1,
        start: Float[Tensor, "start 3 size size"] | None = None,
        strength: float = 1.0,
    ) -> Float[Tensor, "drawn 3 size size"]:
        """Draw sets of views over the background, perhaps given images of the object.

        Args:
            wanted: the cameras of a set.
            given: images over the background.
            seen_from: their cameras.
            sets: how many.
            start: images at the wanted cameras that noise is put on, instead of pure noise.
            strength: of that noise, in (0, 1].
        """
        prior, settings = self.prior, self.settings
        orbit = wanted if seen_from is None else joined(seen_from, wanted)
        scale = settings.guidance_scale if given is None else settings.given_guidance_scale
        return prior.sample(
            prior.embed(self.prompts(orbit)),
            orbit,
            given=given,
            sets=sets,
            null_text=None if scale == 1 else prior.embed([settings.negative_prompt]),
            guidance_scale=scale,
            num_inference_steps=settings.num_inference_steps,
            start=start,
            strength=strength,
            generator=self.generator,
        )

    def prompts(self, orbit: Orbit) -> list[str]:
        """What the prior is asked for at some cameras."""
        words = view_words(orbit) if self.settings.view_words else [""] * orbit.views
        return [view_text(self.text, word, self.behind.name, self.prior.text_suffix) for word in words]

    def cut_out(self, images: Float[Tensor, "views 3 height width"], orbit: Orbit) -> InputViews:
        """Drawings with masks; without those that show no object, where the prior chooses the background itself."""
        cameras = self.prior.cameras(orbit)
        chosen_by_prior = self.prior.text_suffix is not None
        return cut_out_by_borders(images, cameras) if chosen_by_prior else cut_out(images, cameras, self.behind)


def view_text(text: str, view_word: str, background: str, suffix: str | None = None) -> str:
    """A text as the prior was taught it: `a red mug, front view, white background`; nothing for no text.

    A `suffix` stands in place of view and background, for a prior that was taught neither.
    """
    if not text:
        return ""
    return full_caption(text, view_word, background) if suffix is None else text + suffix


def cut_out(images: Float[Tensor, "views 3 height width"], cameras: Cameras, behind: Background) -> InputViews:
    """Drawings over a flat background as images with masks, premultiplied, all of weight 1."""
    masks = estimate_alpha(images, difference_mask(images, behind.level, DIFFERENT), behind.level)
    colours = premultiplied(images, masks, behind.level)
    return InputViews(colours, masks, torch.ones_like(masks), cameras.to(images.device))


def mirrored(orbit: Orbit) -> Orbit:
    """The cameras that see a thing whose left and right are alike as these do, flipped from left to right."""
    return Orbit(-orbit.azimuth_deg % 360, orbit.elevation_deg, orbit.radius, orbit.fov_deg)


def joined(*orbits: Orbit) -> Orbit:
    """All cameras of some orbits."""
    names = ("azimuth_deg", "elevation_deg", "radius", "fov_deg")
    return Orbit(**{name: torch.cat([getattr(orbit, name) for orbit in orbits]) for name in names})


def directions(prior: JointViewsPrior, directions_deg: Sequence[tuple[float, float]]) -> Orbit:
    """A prior's cameras at pairs of azimuth and elevation."""
    azimuth_deg, elevation_deg = torch.tensor(directions_deg, dtype=torch.float32).unbind(-1)
    return prior.orbit(azimuth_deg % 360, elevation_deg)


def _together(first: Cameras, second: Cameras) -> Cameras:
    c2w, fov_deg = (
        torch.cat([getattr(first, name).to(second.c2w), getattr(second, name)]) for name in ("c2w", "fov_deg")
    )
    return Cameras(c2w, fov_deg, second.height, second.width)


def _farthest(colours: Float[Tensor, "colours 3"], but: float) -> Background:
    levels = {name: level[0] for name, level in BACKGROUNDS.items()}
    name = list(levels)[most_distinct_background(colours, list(levels.values()), but)]
    return Background(name, levels[name])
