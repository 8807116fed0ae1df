"""The epipolar feature transformer: what a few posed pictures say about another view, as features and as colours.

After SparseFusion (Zhou and Tulsiani 2023, section 3.2), written from the paper's description at a size that a CPU can
train: a ray of the wanted view is sampled along its depth, every sample is looked up in every picture, and attention
over pictures, over depth and over pictures again decides what is seen. It is no field: there is no density.

All geometry is relative to the wanted camera's axes and to the object's ball, so a common turn of all cameras changes
nothing. Pictures are an unordered set of any number. There is neither dropout nor batch statistics, so a picture's
features never depend on what it is batched with, and training and evaluation mode are the same function.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.diffusion.epipolar_geometry import RayBundle, gather, look_up, waves
from prior3d.errors import Prior3dError
from prior3d.rendering.rays import near_far, rays

LINE_OCTAVES, DEPTH_OCTAVES = 1, 3  # of the waves that encode Plücker coordinates and depths


@dataclass(frozen=True)
class EpipolarConfig:
    """Sizes of the transformer; they stand in `epipolar/config.json`.

    Attributes:
        image_size: side of the square pictures, in pixels.
        patch: side of the square of pixels that one ray stands for; the maps are image_size / patch wide.
        channels: of the picture encoder, at full, half, quarter ... resolution.
        gathered: channels looked up at each sample, from a map of half the pictures' resolution.
        width: of the tokens.
        layers: of each of the three transformers.
        depth_samples: along a ray that meets the ball; one that misses it is sampled once, where it comes closest.
        decoder_blocks: residual blocks over the finished map, before features and colours are read off.
        features: channels of the feature map.
        radius: of the ball about the origin that holds the object, in world units.
    """

    image_size: int = 64
    patch: int = 4
    channels: tuple[int, ...] = (16, 32, 48, 64)
    gathered: int = 32
    width: int = 48
    layers: int = 1
    depth_samples: int = 12
    decoder_blocks: int = 2
    features: int = 32
    radius: float = 1.0

    def __post_init__(self) -> None:
        if self.image_size % self.patch or self.image_size % 2 ** (len(self.channels) - 1) or len(self.channels) < 2:
            raise Prior3dError(
                f"epipolar transformer: image_size {self.image_size} must be a multiple of patch {self.patch} and be "
                f"halved {len(self.channels) - 1} times (one for each of channels behind the first, at least one)"
            )

    @property
    def rays(self) -> int:
        """Rays along each side of a wanted view."""
        return self.image_size // self.patch


class EpipolarTransformer(nn.Module):
    """Posed pictures and wanted cameras in, a feature map and a regressed picture of each wanted view out."""

    def __init__(self, config: EpipolarConfig) -> None:
        """Random weights from the global generator."""
        super().__init__()
        self.config = config
        width, line = config.width, 6 * (1 + 2 * LINE_OCTAVES)
        depth = 1 + 2 * DEPTH_OCTAVES
        self.encoder = PictureEncoder(config.channels, config.gathered)
        self.sample_input = nn.Linear(config.gathered + 3 + 1 + 1 + line + 2 * depth, width)
        self.over_views = _transformer(width, config.layers)
        self.sample_score = nn.Linear(width, 1)
        self.depth_input = nn.Linear(width + line + depth, width)
        self.over_depth = _transformer(width, config.layers)
        self.depth_score = nn.Linear(width, 1)
        self.ray_input = nn.Linear(2 * width + 2 * line, width)
        self.over_views_again = _transformer(width, config.layers)
        self.view_score = nn.Linear(width, 1)
        self.decoder = nn.Sequential(*(ResidualBlock(width) for _ in range(config.decoder_blocks)))
        self.features = nn.Conv2d(width, config.features, 1)
        self.colours = nn.Conv2d(width, 3 * config.patch**2, 3, padding=1)

    def forward(
        self,
        images: Float[Tensor, "scenes contexts 3 height width"],
        cameras: Cameras,
        query: Cameras,
        present: Bool[Tensor, "scenes contexts"] | None = None,
    ) -> tuple[Float[Tensor, "queries features rays rays"], Float[Tensor, "queries 3 height width"]]:
        """Look at several scenes at once.

        Args:
            images: in [0, 1], at the configuration's image_size.
            cameras: of those, scene by scene.
            query: wanted, scene by scene, as many of each scene.
            present: False where a place is only padding; None: all are pictures.

        Returns:
            Features, and pictures in [0, 1]. Gradients reach the weights and the images, not the cameras.

        Raises:
            Prior3dError: sizes do not fit, or a scene has no picture.
        """
        config, (n_scenes, n_contexts) = self.config, images.shape[:2]
        if present is None:
            present = torch.ones(n_scenes, n_contexts, dtype=torch.bool, device=images.device)
        self._check(images, cameras, query, present)
        maps = self.encoder(images.flatten(0, 1))
        seen = images.new_zeros(query.views * config.rays**2, config.width)
        for where, bundle in self._bundles(query, n_scenes, images.device):
            tokens = self._rays(bundle, maps, images, cameras, present)
            seen = seen.index_copy(0, where, tokens.to(seen.dtype))
        seen = seen.view(query.views, config.rays, config.rays, config.width).permute(0, 3, 1, 2)
        decoded = self.decoder(seen.contiguous(memory_format=torch.channels_last))
        return self.features(decoded), functional.pixel_shuffle(self.colours(decoded), config.patch).sigmoid()

    def _bundles(self, query: Cameras, n_scenes: int, device: torch.device) -> Iterator[tuple[Tensor, RayBundle]]:
        """Rays of the wanted views that meet the ball, then those that miss it, each with their numbers."""
        config = self.config
        with torch.autocast(device.type, enabled=False):
            origins, directions = (part.reshape(-1, 3) for part in rays(query.resized(config.rays, config.rays)))
        near, far = near_far(origins, directions, config.radius, config.radius)
        closest = -(origins * directions).sum(-1).clamp_max(0)
        near, far, hit = torch.where(far > near, near, closest), torch.where(far > near, far, closest), far > near
        scene = torch.arange(n_scenes, device=device).repeat_interleave(len(origins) // n_scenes)
        axes = query.c2w[:, :3, :3].repeat_interleave(config.rays**2, dim=0)
        for chosen, n_samples in ((hit, config.depth_samples), (~hit, 1)):
            where = chosen.nonzero()[:, 0]
            if len(where):
                steps = (torch.arange(n_samples, device=near.device) + 0.5) / n_samples
                distances = near[where, None] + (far - near)[where, None] * steps
                yield where, RayBundle(origins[where], directions[where], distances, axes[where], scene[where])

    def _rays(self, bundle: RayBundle, maps: Tensor, images: Tensor, cameras: Cameras, present: Tensor) -> Tensor:
        """One token a ray, [rays, width]: attention over views, over depth, and over views again.

        The depth belongs to the wanted ray, so all pictures share its weights, and the middle attention runs over
        depths alone; in the paper it runs once for each picture, which costs several times as much.
        """
        n_rays, n_samples, n_views = *bundle.distances.shape, present.shape[1]
        tokens, lines, depth = self._samples(bundle, maps, images, cameras)
        absent = ~present[bundle.scene]  # [rays, views]
        per_sample = absent.repeat_interleave(n_samples, dim=0)
        tokens = functional.gelu(self.sample_input(tokens)).flatten(0, 1)
        tokens = _through(self.over_views, tokens, per_sample)  # [rays * samples, views, width]

        with torch.autocast(images.device.type, enabled=False):
            own = waves(bundle.lines(self.config.radius), LINE_OCTAVES)  # [rays, line]
        along = _pool(tokens, self.sample_score, per_sample).view(n_rays, n_samples, -1)
        along = torch.cat([along, own[:, None].expand(-1, n_samples, -1), depth], dim=-1)
        along = _through(self.over_depth, functional.gelu(self.depth_input(along)), None)
        share = self.depth_score(along).softmax(dim=1)  # [rays, samples, 1]
        there = (share * along).sum(dim=1)
        found = torch.einsum("ns,nsvc->nvc", share[..., 0], tokens.view(n_rays, n_samples, n_views, -1))

        middle = lines[:, n_samples // 2]  # of the pictures' own rays, at mid-depth
        per_view = [found, *(part[:, None].expand(-1, n_views, -1) for part in (there, own)), middle]
        tokens = functional.gelu(self.ray_input(torch.cat(per_view, dim=-1)))
        return _pool(_through(self.over_views_again, tokens, absent), self.view_score, absent)

    def _samples(
        self, bundle: RayBundle, maps: Tensor, images: Tensor, cameras: Cameras
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the first attention takes: tokens, lines of the pictures' rays, waves of depths.

        Returns:
            [rays, samples, views, inputs], [rays, samples, views, line], [rays, samples, depth].
        """
        n_rays, n_samples, n_views = *bundle.distances.shape, images.shape[1]
        look = look_up(bundle, cameras, n_views, self.config.radius)
        places, inside = look.places.flatten(0, 2), look.inside[..., None].to(maps.dtype)
        gathered = torch.cat([gather(source, places, look.picture) for source in (maps, images.flatten(0, 1))], dim=-1)
        lines = waves(look.lines, LINE_OCTAVES)
        depth = waves(bundle.depths(self.config.radius)[..., None], DEPTH_OCTAVES)
        shape = (n_rays, n_samples, n_views, -1)
        distance, depths = waves(look.distance[..., None], DEPTH_OCTAVES), depth[:, :, None].expand(shape)
        parts = [gathered.view(shape), inside, look.cosine[..., None], lines, distance, depths]
        return torch.cat(parts, dim=-1), lines, depth

    def _check(self, images: Tensor, cameras: Cameras, query: Cameras, present: Tensor) -> None:
        """Refuse what would broadcast into nonsense."""
        n_scenes, n_contexts, size = *images.shape[:2], self.config.image_size
        if images.shape[2:] != (3, size, size):
            raise Prior3dError(
                f"epipolar transformer: images {tuple(images.shape)}, expected [scenes, contexts, 3, {size}, {size}]; "
                "resize them"
            )
        if cameras.views != n_scenes * n_contexts or query.views % n_scenes or present.shape != (n_scenes, n_contexts):
            raise Prior3dError(
                f"epipolar transformer: {cameras.views} context and {query.views} query cameras and present "
                f"{tuple(present.shape)} for images [{n_scenes} scenes, {n_contexts} contexts]; give one camera an "
                "image and the same number of queries for every scene"
            )
        if not present.any(dim=1).all():
            raise Prior3dError("epipolar transformer: a scene has no picture; give at least one")


class PictureEncoder(nn.Module):
    """A small pyramid of convolutions: pictures to maps of half their resolution, of all its levels."""

    def __init__(self, channels: tuple[int, ...], gathered: int) -> None:
        """One level for each of `channels`, each half as large as the one before."""
        super().__init__()
        self.first = nn.Conv2d(3, channels[0], 3, padding=1)
        pairs = zip(channels[:-1], channels[1:], strict=True)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), ResidualBlock(b)) for a, b in pairs
        )
        self.last = nn.Conv2d(sum(channels[1:]), gathered, 1)

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images gathered height/2 width/2"]:
        """Encode pictures in [0, 1]."""
        level = functional.silu(self.first(images.contiguous(memory_format=torch.channels_last) * 2 - 1))
        found: list[Tensor] = []
        for layer in self.levels:
            level = layer(level)
            grown = level if not found else functional.interpolate(level, size=found[0].shape[-2:], mode="bilinear")
            found.append(grown)
        maps: Tensor = self.last(torch.cat(found, dim=1))
        return maps


class ResidualBlock(nn.Module):
    """Twice group norm, SiLU and a 3x3 convolution, added to the input."""

    def __init__(self, channels: int) -> None:
        """At the same width in and out."""
        super().__init__()
        groups = math.gcd(8, channels)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Float[Tensor, "maps channels h w"]) -> Float[Tensor, "maps channels h w"]:
        """Maps to maps."""
        out = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            out = convolution(functional.silu(norm(out)))
        return x + out


class TransformerLayer(nn.Module):
    """Attention with one head and a feed-forward of the same width, each behind a layer norm and added on."""

    def __init__(self, width: int) -> None:
        """Of `width` channels."""
        super().__init__()
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "sets tokens width"], absent: Bool[Tensor, "sets tokens"] | None
    ) -> Float[Tensor, "sets tokens width"]:
        """Mix tokens; those that are `absent` are not attended to."""
        query, key, value = self.query_key_value(self.before_attention(tokens)).chunk(3, dim=-1)
        scores = torch.bmm(query, key.transpose(1, 2)) * tokens.shape[-1] ** -0.5
        if absent is not None:
            scores = scores.masked_fill(absent[:, None], -torch.inf)
        tokens = tokens + self.joined(torch.bmm(scores.softmax(-1), value))
        mixed: Tensor = self.narrow(functional.gelu(self.wide(self.before_mixing(tokens))))
        return tokens + mixed


def _transformer(width: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(TransformerLayer(width) for _ in range(layers))


def _through(layers: nn.ModuleList, tokens: Tensor, absent: Tensor | None) -> Tensor:
    for layer in layers:
        tokens = layer(tokens, absent)
    return tokens


def _pool(tokens: Tensor, score: nn.Linear, absent: Tensor | None) -> Tensor:
    """Mean of tokens [n, tokens, width] with softmax weights, without those that are absent: [n, width]."""
    scores: Tensor = score(tokens)[..., 0]
    if absent is not None:
        scores = scores.masked_fill(absent, -torch.inf)
    return (scores.softmax(-1)[..., None] * tokens).sum(dim=1)
