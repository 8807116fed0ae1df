"""Classifier score distillation (Yu et al. 2023, eq. 5): the part of SDS that guidance adds, and nothing else.

With guidance s the residual of SDS is a sum, (eps(z_t; y) - eps) + (s - 1) (eps(z_t; y) - eps(z_t)). The first term
draws renders to the prior's mode and to the mean of what it can be, which is soft; the second is the gradient of
log p(y | z_t), an implicit classifier. Here only the second is left.
"""

from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.guidance import Prediction


def classifier_residual(parts: Prediction) -> Float[Tensor, "views channels h w"]:
    """(s - 1) (eps(z_t; y) - eps(z_t)); with Perp-Neg or rescaling, all that these change too."""
    return parts.guided - parts.conditional
