"""Which of all captions of the toy world a scorer likes best for images of one object."""

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.scorer import Scorer
from prior3d.toyworld.vocabulary import full_captions, short_captions

BEST_SHORT = 40  # captions of a category and a colour whose longer ones are looked at


def likely_captions(scorer: Scorer, images: list[Float[Tensor, "images 3 height width"]], n_kept: int) -> list[str]:
    """The toy world's captions that a scorer likes best for images of one object, best first.

    Captions of a category and a main colour come first, then those that say more of the best of them.
    """
    shown = torch.cat([scorer.embed_images(batch) for batch in images]).sum(0)
    short = short_captions()
    order = (scorer.embed_many_texts(list(short)) @ shown).argsort(descending=True)[:BEST_SHORT].tolist()
    best = [list(short)[place] for place in order]
    candidates = list(dict.fromkeys([*best, *(text for one in best for text in full_captions(*short[one]))]))
    order = (scorer.embed_many_texts(candidates) @ shown).argsort(descending=True)[:n_kept].tolist()
    return [candidates[place] for place in order]
