"""A joint-view prior that is asked from words alone, as a text-to-image prior is: all views of a call are one set.

So score distillation sees an object from several sides at once (MVDream, Shi et al. 2023, section 3.2), and no side can
become a second front behind the others' back.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.diffusion.guidance import Conditioning, Prediction, rescaled
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.diffusion.latent_diffusion import guided
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.errors import Prior3dError


class JointTextPrior(TextToImagePrior):
    """A joint-view prior in the place of a text-to-image prior. It knows directions; distances are its own."""

    joint = True

    def __init__(self, prior: JointViewsPrior) -> None:
        """Take the prior as it is."""
        super().__init__(prior.diffusion)
        self.views = prior

    @property
    def camera_conditioned(self) -> bool:
        """False: cameras reach this prior as the orbit of what is asked."""
        return False

    @torch.no_grad()
    def predict(
        self, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"], conditioning: Conditioning
    ) -> Float[Tensor, "views channels h w"]:
        """Predict the noise of all views together, with guidance on the text."""
        if conditioning.guidance_scale == 1:
            return self._noises(noisy, timesteps, conditioning, conditioning.text)[0]
        return self.parts(noisy, timesteps, conditioning).guided

    @torch.no_grad()
    def parts(
        self, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"], conditioning: Conditioning
    ) -> Prediction:
        """The noise of all views together: with guidance, for the texts alone, and for the null text.

        Raises:
            Prior3dError: Perp-Neg's negatives are asked for.
        """
        asked = conditioning
        if asked.negatives is not None:
            raise Prior3dError(
                "Perp-Neg is not there for joint views; set perp_neg_weight and perp_neg_view_weight to 0"
            )
        without, with_text = self._noises(noisy, timesteps, asked, asked.null_text, asked.text)
        found = guided(without, with_text, asked.guidance_scale)
        return Prediction(rescaled(found, with_text, asked.rescale) if asked.rescale else found, with_text, without)

    def _noises(self, noisy: Tensor, timesteps: Tensor, asked: Conditioning, *texts: Tensor) -> list[Tensor]:
        """What the network says of the set under each text, as noise."""
        if asked.orbit is None:
            raise Prior3dError("joint views: the cameras are not known; give the conditioning an orbit")
        views, n, frames = self.views, len(texts), len(noisy)
        orbit = views.orbit(asked.orbit.azimuth_deg.cpu(), asked.orbit.elevation_deg.cpu())
        condition = views.condition(orbit, torch.ones(frames, device=self.device), 0)
        seen, camera = torch.cat([noisy, condition], dim=1), views.embed_cameras(orbit).to(self.device)
        text = torch.cat([one.expand(frames, -1, -1) for one in texts])
        said = views.network(seen.repeat(n, 1, 1, 1), timesteps.repeat(n), text, camera.repeat(n, 1), frames)
        return [self.diffusion.to_noise(noisy, output, timesteps) for output in said.split(frames)]
