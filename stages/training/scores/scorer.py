"""How well the toy scorer judges real renders of objects that it was not trained on."""

import statistics
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from prior3d.diffusion.scorer import Scorer
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.caption_facts import facts
from stages.training.datasets.held_out import held_out
from stages.training.datasets.pairs import halved
from stages.training.scores.text_to_image import views_obeyed

FACTS = ("kind", "colour", "second colour", "pattern or part")


@dataclass(frozen=True)
class Mistake:
    """A render whose nearest caption is that of another."""

    image: Tensor
    caption: str
    taken_for: str

    @property
    def differs(self) -> str:
        """What the two captions say differently."""
        pairs = zip(FACTS, facts(self.caption), facts(self.taken_for), strict=True)
        return ", ".join(name for name, own, other in pairs if own != other)


@torch.no_grad()
def scorer_scores(
    scorer: Scorer, world: RenderedDataset, n_captions: int = 200, draws: int = 4, seed: int = 0
) -> tuple[dict[str, float], list[Mistake]]:
    """Tell held-out renders by their captions, and name their views, in several draws of captions, views, backgrounds.

    Returns:
        (scores, mistakes of all draws). `top1`: share of the renders whose own caption is the nearest of `n_captions`
        that all differ; `top1_least`: of the worst draw; `top1_halved`: of the same at half resolution; `view_word`:
        of kinds that have a front, the share whose view is named right; `clear_view_word`: of those among them that
        are 15 degrees or more from views of another word.
    """
    found: dict[str, list[float]] = {"top1": [], "top1_halved": []}
    obeyed: dict[str, list[Tensor]] = {"view_word": [], "clear_view_word": []}
    mistakes: list[Mistake] = []
    for draw in range(draws):
        real = held_out(world, n_captions, seed + draw)
        nearest = scorer.similarity(real.images, real.captions).argmax(dim=1).cpu()
        wrong = nearest != torch.arange(n_captions)
        found["top1"].append(1 - float(wrong.float().mean()))
        mistakes += [
            Mistake(real.images[i], real.captions[i], real.captions[int(nearest[i])]) for i in wrong.nonzero()[:, 0]
        ]
        found["top1_halved"].append(scorer.r_precision(halved(real.images), torch.arange(n_captions), real.captions))
        right = views_obeyed(scorer, real, real.images)
        obeyed["view_word"].append(right[real.fronted])
        obeyed["clear_view_word"].append(right[real.fronted & real.clear])
    scores = {name: statistics.fmean(values) for name, values in found.items()} | {"top1_least": min(found["top1"])}
    return scores | {name: float(torch.cat(parts).float().mean()) for name, parts in obeyed.items()}, mistakes


def what_differs(mistakes: list[Mistake], most: int = 5) -> list[tuple[str, int]]:
    """What captions that are taken for each other say differently, and how often, the most frequent first."""
    return Counter(mistake.differs for mistake in mistakes).most_common(most)
