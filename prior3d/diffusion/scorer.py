"""Score images against texts and each other with a CLIP-shaped model: any `transformers.CLIPModel` folder.

The pure functions work on unit embeddings, so that they can be checked by hand; `Scorer` makes the embeddings.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from prior3d.diffusion.folders import check_safetensors, read_json
from prior3d.diffusion.known_words import read, unknown_words
from prior3d.diffusion.networks import without_progress_bars
from prior3d.errors import Prior3dError

VIEW_WORDS = ("front view", "side view", "back view", "overhead view")  # the order of a view head's outputs
VIEW_HEAD = "view_head.safetensors"
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Scorer:
    """A frozen image-text model.

    Attributes:
        image_size: side of the square that images are resized to, in pixels.
        view_head: weight and bias of a linear classifier of `VIEW_WORDS`, or None.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        mean: tuple[float, ...] = CLIP_MEAN,
        deviation: tuple[float, ...] = CLIP_DEVIATION,
        view_head: tuple[Float[Tensor, "4 features"], Float[Tensor, "4"]] | None = None,
    ) -> None:
        """Take a CLIPModel, its tokenizer, and the R, G, B mean and deviation of its input."""
        self.model, self.tokenizer, self.view_head = model, tokenizer, view_head
        self.device, self.dtype = model.device, model.dtype
        self.image_size: int = model.config.vision_config.image_size
        self._mean, self._deviation = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (mean, deviation))
        self._texts: dict[str, Tensor] = {}

    def embed_images(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images features"]:
        """Images in [0, 1] to unit embeddings, float32; differentiable."""
        features = self.model.get_image_features(pixel_values=self._pixels(images)).pooler_output
        return functional.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: list[str]) -> Float[Tensor, "texts features"]:
        """Texts, each embedded once, to unit embeddings, float32."""
        for text in dict.fromkeys(texts):
            if text in self._texts:
                continue
            length = self.model.config.text_config.max_position_embeddings
            words = read(text, unknown_words(self.tokenizer, text))
            ids = self.tokenizer(words, truncation=True, max_length=length, return_tensors="pt").input_ids
            features = self.model.get_text_features(input_ids=ids.to(self.device)).pooler_output
            self._texts[text] = functional.normalize(features.float(), dim=-1)
        return torch.cat([self._texts[text] for text in texts])

    @torch.no_grad()
    def embed_many_texts(self, texts: list[str], at_once: int = 256) -> Float[Tensor, "texts features"]:
        """As `embed_texts`, many at a time: faster, but the last digit of an embedding depends on its neighbours."""
        length, found = self.model.config.text_config.max_position_embeddings, []
        for first in range(0, len(texts), at_once):
            tokens = self.tokenizer(
                texts[first : first + at_once], padding=True, truncation=True, max_length=length, return_tensors="pt"
            ).to(self.device)
            features = self.model.get_text_features(**tokens).pooler_output
            found.append(functional.normalize(features.float(), dim=-1))
        return torch.cat(found)

    def similarity(
        self, images: Float[Tensor, "images 3 height width"], texts: list[str]
    ) -> Float[Tensor, "images texts"]:
        """Cosines of every image with every text; differentiable in the images."""
        return self.embed_images(images) @ self.embed_texts(texts).T

    def r_precision(
        self, images: Float[Tensor, "images 3 height width"], true_index: Int[Tensor, "images"], captions: list[str]
    ) -> float:
        """Share of the images whose own caption, `captions[true_index[i]]`, is the nearest of all captions."""
        return retrieval_precision(self.similarity(images, captions), true_index)

    def image_similarity(
        self, first: Float[Tensor, "images 3 height width"], second: Float[Tensor, "images 3 h w"]
    ) -> Float[Tensor, "images"]:
        """Cosine of each image of `first` with the same of `second`; differentiable."""
        return (self.embed_images(first) * self.embed_images(second)).sum(-1)

    def directional_similarity(
        self,
        before: Float[Tensor, "images 3 height width"],
        after: Float[Tensor, "images 3 h w"],
        text_before: str,
        text_after: str,
    ) -> Float[Tensor, "images"]:
        """How far each edit of an image goes the way of the texts (`direction_cosine`)."""
        texts = self.embed_texts([text_before, text_after])
        return direction_cosine(self.embed_images(before), self.embed_images(after), texts[0], texts[1])

    @torch.no_grad()
    def view_logits(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images 4"]:
        """Scores of `VIEW_WORDS` for images.

        Raises:
            Prior3dError: this scorer has no view head.
        """
        if self.view_head is None:
            raise Prior3dError(
                f"scorer: it has no {VIEW_HEAD}, so it cannot name views; use one that has, e.g. toy-scorer"
            )
        pooled = self.model.vision_model(pixel_values=self._pixels(images)).pooler_output
        return functional.linear(pooled.float(), *self.view_head)

    def _pixels(self, images: Tensor) -> Tensor:
        """Resize to the model's square and normalise, as its image processor does, but differentiably."""
        size = (self.image_size, self.image_size)
        if images.shape[-2] != images.shape[-1]:
            raise Prior3dError(f"scorer: images of {tuple(images.shape[-2:])} pixels; crop or pad them to squares")
        if images.shape[-2:] != size:
            images = functional.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)
        return ((images.to(self.device) - self._mean) / self._deviation).to(self.dtype)


def retrieval_precision(similarity: Float[Tensor, "images texts"], true_index: Int[Tensor, "images"]) -> float:
    """Share of rows of similarity whose largest entry is at true_index (R-Precision, one relevant)."""
    return float((similarity.argmax(dim=-1) == true_index.to(similarity.device)).float().mean())


def direction_cosine(
    before: Float[Tensor, "images features"],
    after: Float[Tensor, "images features"],
    text_before: Float[Tensor, "features"],
    text_after: Float[Tensor, "features"],
) -> Float[Tensor, "images"]:
    """Cosine of the change of images with the change of texts (Gal et al. 2022, StyleGAN-NADA, eq. 3).

    Args:
        before: unit embeddings of images.
        after: of the same images edited.
        text_before: of what they showed.
        text_after: of what they should show; where nothing changed the cosine is 0.
    """
    return functional.cosine_similarity(after - before, (text_after - text_before).expand_as(after), dim=-1)


def load_scorer(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> Scorer:
    """Load a frozen CLIPModel folder with its tokenizer, from local safetensors weights only.

    Raises:
        Prior3dError: not a CLIP folder, weights missing, truncated, misshapen or not finite, no tokenizer.
    """
    from transformers import CLIPModel, CLIPTokenizer  # seconds to import, and only loading needs it

    folder = Path(folder)
    check_scorer_folder(folder)
    try:
        with without_progress_bars():
            loaded: Any = CLIPModel.from_pretrained(
                str(folder), dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        model, found = loaded
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise Prior3dError(f"scorer {folder}: cannot be loaded: {str(error).splitlines()[0][:200]}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(str(name) for name in found[problem] if "position_ids" not in str(name))
        if names:
            raise Prior3dError(
                f"scorer {folder}: {problem.replace('_', ' ')} {names[0]} ({len(names)} such); fetch it again"
            )
    for name, tensor in model.named_parameters():
        if not torch.isfinite(tensor).all():
            raise Prior3dError(f"scorer {folder}: {name} holds values that are not finite; fetch or train it again")
    settings = read_json(folder / "preprocessor_config.json")
    mean, deviation = (tuple(settings.get(k, d)) for k, d in (("image_mean", CLIP_MEAN), ("image_std", CLIP_DEVIATION)))
    model = model.requires_grad_(False).eval().to(device)
    return Scorer(model, tokenizer, mean, deviation, _view_head(folder, model.config.vision_config.hidden_size, device))


def check_scorer_folder(folder: Path) -> None:
    """Check that a folder can serve as a scorer, without loading a tensor.

    Raises:
        Prior3dError: no folder, not a CLIP model, weights missing, pickled or truncated.
    """
    if not folder.is_dir():
        raise Prior3dError(f"scorer {folder}: no such folder; give a CLIPModel folder")
    kind = read_json(folder / "config.json").get("model_type")
    if kind != "clip":
        raise Prior3dError(f"scorer {folder}: its config.json says model_type {kind!r}, not 'clip'; give a CLIPModel")
    if not (folder / "model.safetensors").is_file():
        raise Prior3dError(f"scorer {folder}: there is no model.safetensors (pickle files are never opened); fetch it")
    check_safetensors(folder / "model.safetensors")
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        raise Prior3dError(f"scorer {folder}: it lacks tokenizer.json, or vocab.json and merges.txt; complete it")


def _view_head(folder: Path, width: int, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """The view classifier beside the model, or None."""
    file = folder / VIEW_HEAD
    if not file.is_file():
        return None
    check_safetensors(file)
    tensors = {name: tensor.float().to(device) for name, tensor in load_file(file).items()}
    if {name: tuple(t.shape) for name, t in tensors.items()} != {"weight": (4, width), "bias": (4,)}:
        raise Prior3dError(f"scorer {file}: not a view head of this model ({width} wide); train the scorer again")
    return tensors["weight"], tensors["bias"]
