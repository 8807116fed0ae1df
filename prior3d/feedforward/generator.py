"""The network: tokens of a text in, the grid of a radiance field out.

A small transformer reads from the text what the thing is, a short code, and a colour for each of a few parts. A linear
map makes of the code a template: a token for each cell of an 8 x 8 x 8 grid. The tokens look at each other and at the
text. Each then says of the nodes in its cell how dense they are, and to which parts they belong. So shapes are learnt
by kind and colours by word, and a new pair of both needs no training of its own.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from diffusers.models.attention import BasicTransformerBlock
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.errors import Prior3dError

CELLS = 8  # tokens along an axis
READING_LAYERS, READING_HEADS = 2, 4
SHARPNESS = 4.0  # of the choice between parts, and of colours: both begin undecided
STEEPNESS = 6.0  # of a density's logarithm
DARKEST = 0.02  # of a colour, and as far from white: its logit stays finite


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the network; they stand in `generator/config.json`.

    Attributes:
        text_width: of the text encoder's tokens; a multiple of 4.
        width: of the tokens of the grid.
        layers: of their transformer.
        heads: of its attention.
        parts: colours that an object can have.
        nodes: along an axis of the field's grid; a multiple of 8.
        code: numbers that tell one template from another.
        smoothing: channels between the two convolutions over the finished grid.
    """

    text_width: int = 128
    width: int = 192
    layers: int = 4
    heads: int = 6
    parts: int = 6
    nodes: int = 32
    code: int = 48
    smoothing: int = 16

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit (raises Prior3dError)."""
        if self.nodes % CELLS or self.width % self.heads or self.text_width % READING_HEADS:
            raise Prior3dError(
                f"generator: nodes {self.nodes} must be a multiple of {CELLS}, width {self.width} one of heads "
                f"{self.heads}, text_width {self.text_width} one of {READING_HEADS}"
            )


class FieldGenerator(nn.Module):
    """Texts to the grids of fields, by `prior3d.feedforward.generated_field.CONFIG`'s conventions.

    Example:
        >>> network = FieldGenerator(GeneratorConfig(text_width=16, width=24, layers=1, heads=2, nodes=16))
        >>> network(torch.zeros(2, 5, 16)).shape
        torch.Size([2, 16, 16, 16, 4])
    """

    def __init__(self, config: GeneratorConfig) -> None:
        """Build the network at its start: nothing but the field's own blob, in colours near grey."""
        super().__init__()
        self.config = config
        self.in_cell, self.features = config.nodes // CELLS, 1 + config.parts
        self.places = nn.Parameter(torch.randn(1, CELLS**3, config.width) * 0.02)
        self.layers = nn.ModuleList(
            [_block(config.width, config.heads, config.text_width) for _ in range(config.layers)]
        )
        self.norm, self.said = nn.LayerNorm(config.width), nn.Linear(config.width, self.in_cell**3 * self.features)
        self.spread = nn.Conv3d(self.features, config.smoothing, 3, padding=1)
        self.smooth = nn.Conv3d(config.smoothing, self.features, 3, padding=1)
        self.asked = nn.Parameter(torch.randn(1, 1 + config.parts, config.text_width) * 0.5)
        self.reading = nn.ModuleList(
            [_block(config.text_width, READING_HEADS, config.text_width) for _ in range(READING_LAYERS)]
        )
        self.read = nn.LayerNorm(config.text_width)
        self.colour, self.kind = nn.Linear(config.text_width, 3), nn.Linear(config.text_width, config.code)
        self.template = nn.Linear(config.code, CELLS**3 * config.width, bias=False)
        with torch.no_grad():
            for layer, spread in ((self.said, 0.02), (self.colour, 0.02), (self.smooth, 0.0)):
                for name, parameter in layer.named_parameters():
                    parameter.normal_(std=spread if name == "weight" else 0.0)

    def forward(self, text: Float[Tensor, "texts tokens text_width"]) -> Float[Tensor, "texts z y x 4"]:
        """The grid of each text: the logarithm of density, then the logits of red, green and blue."""
        code, palette = self.code_and_palette(text)
        content = self.content(text, code)
        shares = (SHARPNESS * content[:, 1:]).softmax(dim=1)
        colours = torch.einsum("bpzyx,bpc->bczyx", shares, palette)
        logits = torch.logit(colours.clamp(DARKEST, 1 - DARKEST))
        return torch.cat([STEEPNESS * content[:, :1], logits], dim=1).movedim(1, -1).contiguous()

    def content(
        self, text: Float[Tensor, "texts tokens text_width"], code: Float[Tensor, "texts code"]
    ) -> Float[Tensor, "texts features z y x"]:
        """What is at each node: density, and how much it belongs to each part."""
        tokens = self.places + self.template(code).view(len(text), CELLS**3, -1)
        for layer in self.layers:
            tokens = layer(tokens, encoder_hidden_states=text)
        n, inside = CELLS, self.in_cell
        cells = self.said(self.norm(tokens)).view(-1, n, n, n, inside, inside, inside, self.features)
        nodes = cells.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(-1, self.features, *[n * inside] * 3)
        smoothed: Tensor = nodes + self.smooth(functional.silu(self.spread(nodes)))
        return smoothed

    def code_and_palette(
        self, text: Float[Tensor, "texts tokens text_width"]
    ) -> tuple[Float[Tensor, "texts code"], Float[Tensor, "texts parts 3"]]:
        """What the thing is, and the colour of each of its parts."""
        found = self.asked.expand(len(text), -1, -1)
        for layer in self.reading:
            found = layer(found, encoder_hidden_states=text)
        found = self.read(found)
        return self.kind(found[:, 0]), (SHARPNESS * self.colour(found[:, 1:])).sigmoid()


def _block(width: int, heads: int, text_width: int) -> nn.Module:
    """Attention among tokens, then to the text, then two linear layers, each behind a norm."""
    return BasicTransformerBlock(
        width, heads, width // heads, cross_attention_dim=text_width, activation_fn="gelu", attention_bias=False
    )
