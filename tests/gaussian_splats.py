"""Sets of splats for tests, and the plainest way to draw them."""

import torch

from prior3d.splats.model import Splats, SplatsConfig


def some_splats(n=60, seed=0, degree=2, size=0.1, is_object=True):
    """Gaussians in the middle of the box, of all shapes, colours and opacities."""
    generator = torch.Generator().manual_seed(seed)
    splats = Splats(SplatsConfig(n, degree, is_object))
    with torch.no_grad():
        splats.means.copy_(1.2 * torch.rand(n, 3, generator=generator) - 0.6)
        splats.quats.copy_(torch.randn(n, 4, generator=generator))
        splats.scales.copy_(torch.tensor(size).log() + 0.5 * torch.randn(n, 3, generator=generator))
        splats.opacities.copy_(2 * torch.randn(n, generator=generator))
        splats.sh0.copy_(torch.randn(n, 1, 3, generator=generator))
        splats.shN.copy_(0.2 * torch.randn(splats.shN.shape, generator=generator))
    return splats


def ball_of_splats(n=300, radius=0.6):
    """Opaque red Gaussians on a sphere."""
    splats = some_splats(n, degree=0)
    with torch.no_grad():
        splats.means.copy_(radius * torch.nn.functional.normalize(splats.means, dim=-1))
        splats.scales.fill_(-2.3)
        splats.opacities.fill_(4.0)
        splats.sh0.copy_(torch.tensor([1.0, -1.2, -1.2]))
    return splats


def draw_densely(seen, height, width):
    """Every Gaussian on every pixel, one after the other: colours and opacity."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.zeros(height, width, 3, dtype=seen.colours.dtype)
    light = torch.ones(height, width, dtype=seen.colours.dtype)
    running = torch.ones(height, width, dtype=torch.bool)
    for k in torch.argsort(seen.depths, stable=True):
        x, y = columns + 0.5 - seen.centres[k, 0], rows + 0.5 - seen.centres[k, 1]
        a, b, c = seen.conics[k]
        alpha = (seen.opacities[k] * torch.exp(-(0.5 * (a * x * x + c * y * y) + b * x * y))).clamp_max(0.999)
        alpha = torch.where((alpha >= 1 / 255) & running, alpha, 0.0)
        ends = (light * (1 - alpha) <= 1e-4) & (alpha > 0)
        running = running & ~ends
        alpha = torch.where(ends, 0.0, alpha)
        image = image + (light * alpha)[..., None] * seen.colours[k]
        light = light * (1 - alpha)
    return image, 1 - light
