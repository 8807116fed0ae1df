"""A frozen joint-view prior: a text and cameras in, images of one object from all of them out, drawn together.

Some of the views may be given. A network that was taught it sees them clean among the noisy ones (CAT3D, Gao et al.
2024). Any other one, like MVDream's, sees them as noisy as those it draws ("replacement", Ho et al. 2022, Video
Diffusion Models). A set is the frames that are drawn together; frames of different sets know nothing of each other.

Latents are always at the *scaled* level; images are RGB in [0, 1]; all is float32 outside. The object is about the
origin, its front along +x; every camera looks at the origin from the prior's own distance, with its own field of view.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.diffusion import joint_sets, mvdream
from prior3d.diffusion.camera_embedding import embedded_directions
from prior3d.diffusion.folders import (
    RAYS_AND_MASK,
    check_joint_views_folder,
    check_named,
    check_parts,
    class_of,
    read_json,
)
from prior3d.diffusion.joint_sets import SetConditioning, pluecker_rays
from prior3d.diffusion.latent_diffusion import LatentDiffusion, guided, with_text
from prior3d.diffusion.networks import load_network
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.scheduling import descending_timesteps, timestep_of_strength
from prior3d.errors import Prior3dError

AT_ONCE = 96  # frames of `denoising_errors` in one call; bounds the memory


class JointViewsPrior(DiffusionPrior):
    """The networks of a joint-view folder, and the cameras that they know.

    Attributes:
        radius: distance of its cameras from the origin, in world units.
        fov_deg: their field of view.
        text_suffix: of a prior that draws over a background of its own, what its texts end in, in place of the view and
            the background; None: it was taught both.
    """

    def __init__(
        self,
        diffusion: LatentDiffusion,
        radius: float,
        fov_deg: float,
        embed_cameras: Callable[[Orbit], Float[Tensor, "frames 16"]] = embedded_directions,
        text_suffix: str | None = None,
    ) -> None:
        """Take the networks as they are; `embed_cameras` makes the class labels [frames, 16] that the UNet takes."""
        super().__init__(diffusion)
        self.radius, self.fov_deg, self.embed_cameras, self.text_suffix = radius, fov_deg, embed_cameras, text_suffix

    @property
    def takes_given(self) -> bool:
        """Whether the network was taught given views: it sees a mask and rays behind the latents."""
        channels: int = self.diffusion.unet.config.in_channels
        return channels == self.latent_channels + RAYS_AND_MASK

    def orbit(self, azimuth_deg: Float[Tensor, "frames"], elevation_deg: Float[Tensor, "frames"]) -> Orbit:
        """The prior's cameras that look from these directions, in degrees."""
        fill = torch.ones_like(azimuth_deg)
        return Orbit(azimuth_deg, elevation_deg, self.radius * fill, self.fov_deg * fill)

    def cameras(self, orbit: Orbit) -> Cameras:
        """The cameras of the images that the prior takes and draws."""
        return orbit_cameras(orbit, self.image_size, self.image_size)

    def sample(
        self,
        text: Float[Tensor, "texts tokens text_width"],
        cameras: Orbit,
        *,
        given: Float[Tensor, "given 3 height width"] | None = None,
        sets: int = 1,
        null_text: Float[Tensor, "1 tokens text_width"] | None = None,
        guidance_scale: float = 1.0,
        num_inference_steps: int = 10,
        start: Float[Tensor, "start 3 height width"] | None = None,
        strength: float = 1.0,
        generator: torch.Generator,
    ) -> Float[Tensor, "drawn 3 {self.image_size} {self.image_size}"]:
        """Draw sets of views with deterministic DDIM, repeatable from the generator.

        Texts, cameras, given images and guidance are those of one set, as in `ask`; `sets` are drawn, each with its own
        noise, in `num_inference_steps` network calls. `start` are images at the wanted cameras, of one set or of all:
        noise is added to them, up to `strength` in (0, 1], and taken away again (SDEdit, Meng et al. 2022).

        Returns:
            [sets * wanted] images in [0, 1], set by set, of the cameras without a given image, in their order.

        Raises:
            Prior3dError: as in `ask`; or starts, sets or steps that do not fit.
        """
        n_given = 0 if given is None else len(given)
        noise = self.diffusion.draw_noise(n_given, generator) if n_given and not self.takes_given else None
        asked = self.ask(text, cameras, given, noise, null_text=null_text, guidance_scale=guidance_scale)
        noisy, first = self._beginning(start, strength, sets, cameras.views - n_given, generator)
        timesteps = descending_timesteps(first, num_inference_steps)
        return self.decode(self.diffusion.denoise(noisy, timesteps, lambda z, at: self.predict(z, at, asked)))

    @torch.no_grad()
    def ask(
        self,
        text: Float[Tensor, "texts tokens text_width"],
        cameras: Orbit,
        given: Float[Tensor, "given 3 height width"] | None = None,
        given_noise: Float[Tensor, "given channels h w"] | None = None,
        *,
        null_text: Float[Tensor, "1 tokens text_width"] | None = None,
        guidance_scale: float = 1.0,
        given_cameras_known: bool = True,
    ) -> SetConditioning:
        """Texts, cameras and given images of one set, ready for `predict`.

        Args:
            text: embedded, one a frame, or one for all.
            cameras: of all frames, those of the given images first; from `orbit`.
            given: images in [0, 1] at the prior's image_size, seen by the first cameras.
            given_noise: what is put on their latents for a network that was not taught given views; for it alone.
            null_text: embedded empty prompt, what guidance moves away from; the given images stay.
            guidance_scale: on the text; 1 is none (best with given images; 2.5 is good without).
            given_cameras_known: False hides the given images' cameras.

        Raises:
            Prior3dError: cameras, texts or images that the prior cannot use, or guidance without null_text.
        """
        frames, n_given = cameras.views, 0 if given is None else len(given)
        joint_sets.check_orbit(cameras, self.radius, self.fov_deg)
        joint_sets.check_set(text, cameras, n_given, self.takes_given or given_noise is not None)
        if given is not None:
            joint_sets.check_images("given", given, self.image_size)
        if guidance_scale != 1 and null_text is None:
            raise Prior3dError(f"joint-view prior: guidance {guidance_scale:g} needs null_text: embed an empty prompt")
        known = torch.ones(frames, device=self.device)
        known[:n_given] = float(given_cameras_known)
        texts = [text] if null_text is None or guidance_scale == 1 else [text, null_text]
        size = self.latent_channels, self.latent_size, self.latent_size
        clean = torch.zeros(0, *size, device=self.device) if given is None else self.encode(given.to(self.device))
        camera, condition = self.embed_cameras(cameras).to(self.device), self.condition(cameras, known, n_given)
        embedded = tuple(t.to(self.device).expand(frames, -1, -1) for t in texts)
        return SetConditioning(embedded, guidance_scale, camera * known[:, None], condition, clean, given_noise)

    @torch.no_grad()
    def predict(
        self, noisy: Float[Tensor, "wanted channels h w"], timesteps: Int[Tensor, "wanted"], asked: SetConditioning
    ) -> Float[Tensor, "wanted channels h w"]:
        """Predict the noise of the wanted frames of one or more sets, with guidance on the text.

        Args:
            noisy: noised scaled latents, set by set, without the given frames.
            timesteps: in 0 .. n_timesteps - 1, the same within a set; given frames stand at 0, or there too.
            asked: of one set; all sets are asked for the same.

        Returns:
            noise; v-predictions are converted. No gradient passes.
        """
        frames, n_given = len(asked.camera), len(asked.clean)
        drawn, times = noisy.unflatten(0, (-1, frames - n_given)), timesteps.view(-1, frames - n_given)
        sets = len(drawn)
        given, given_at = asked.given(times, self.schedule)
        latents = torch.cat([given, drawn], dim=1)
        seen = torch.cat([latents, asked.condition.expand(sets, *asked.condition.shape)], dim=2).flatten(0, 1)
        at = torch.cat([given_at, times], dim=1).flatten()
        text = torch.cat([words.repeat(sets, 1, 1) for words in asked.texts])
        n = len(asked.texts)
        said = self.network(seen.repeat(n, 1, 1, 1), at.repeat(n), text, asked.camera.repeat(n * sets, 1), frames)
        outputs = said.chunk(n)
        output = outputs[0] if n == 1 else guided(outputs[1], outputs[0], asked.guidance_scale)
        return self.diffusion.to_noise(noisy, output.unflatten(0, (sets, frames))[:, n_given:].flatten(0, 1), timesteps)

    @torch.no_grad()
    def denoising_errors(
        self,
        images: Float[Tensor, "images 3 height width"],
        cameras: Orbit,
        text: Float[Tensor, "texts tokens text_width"],
        *,
        timesteps: list[int],
        noises: int = 2,
        generator: torch.Generator,
    ) -> Float[Tensor, "candidates"]:
        """How badly an image is denoised by itself under each camera and text: low where they explain it.

        Args:
            images: in [0, 1], at the prior's image_size.
            cameras: from `orbit`.
            text: embedded. Images, cameras and texts are n candidates each, or one for all.
            timesteps: noise levels that the error is a mean over, in 0 .. n_timesteps - 1.
            noises: drawn at each of them, the same for all candidates.
            generator: draws them.

        Returns:
            mean squared errors of the network's output (noise or velocity), one a candidate.

        Raises:
            Prior3dError: numbers that do not agree, images or cameras that the prior cannot use, no timestep.
        """
        n = joint_sets.check_candidates(images, cameras, text, timesteps, self.n_timesteps)
        joint_sets.check_orbit(cameras, self.radius, self.fov_deg)
        joint_sets.check_images("candidate", images, self.image_size)
        noise = self.diffusion.draw_noise(noises, generator).repeat(len(timesteps), 1, 1, 1)
        at = torch.tensor(timesteps, device=self.device).repeat_interleave(noises)
        latents = self.encode(images.to(self.device)).expand(n, -1, -1, -1)
        condition = self.condition(cameras, torch.ones(cameras.views, device=self.device), 0).expand(n, -1, -1, -1)
        camera = self.embed_cameras(cameras).to(self.device).expand(n, -1)
        text = text.to(self.device).expand(n, -1, -1)
        parts = torch.arange(n, device=self.device).split(max(1, AT_ONCE // len(noise)))
        each = [self._errors(latents[i], condition[i], camera[i], text[i], noise, at) for i in parts]
        return torch.cat(each)

    def _beginning(
        self, start: Tensor | None, strength: float, sets: int, wanted: int, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        """What is denoised, and the timestep that it stands at."""
        joint_sets.check_start(0 if start is None else len(start), strength, sets, wanted)
        noise = self.diffusion.draw_noise(sets * wanted, generator)
        if start is None:
            return noise, self.n_timesteps - 1
        joint_sets.check_images("starting", start, self.image_size)
        first = timestep_of_strength(strength, self.n_timesteps)
        latents = self.encode(start.to(self.device))
        at = torch.full((sets * wanted,), first, device=self.device)
        return self.add_noise(latents.repeat(len(noise) // len(latents), 1, 1, 1), noise, at), first

    def _errors(
        self, latents: Tensor, condition: Tensor, camera: Tensor, text: Tensor, noise: Tensor, at: Tensor
    ) -> Tensor:
        """Errors of some candidates: every one with every noise."""
        n, m = len(latents), len(noise)
        latents, condition, camera, text = (x.repeat_interleave(m, 0) for x in (latents, condition, camera, text))
        noise, at = noise.repeat(n, 1, 1, 1), at.repeat(n)
        seen = torch.cat([self.add_noise(latents, noise, at), condition], dim=1)
        error = self.network(seen, at, text, camera, 1) - self.diffusion.training_target(latents, noise, at)
        return error.square().mean(dim=(1, 2, 3)).view(n, m).mean(dim=1)

    def network(
        self,
        seen: Float[Tensor, "frames channels_in h w"],
        timesteps: Int[Tensor, "frames"],
        text: Float[Tensor, "frames tokens text_width"],
        camera: Float[Tensor, "frames 16"],
        in_set: int,
    ) -> Float[Tensor, "frames channels h w"]:
        """Call the UNet once on sets of `in_set` frames: noise or velocity, float32."""
        dtype = self.diffusion.dtype
        output: Tensor = self.diffusion.unet(
            seen.to(dtype).contiguous(memory_format=torch.channels_last),
            timesteps,
            encoder_hidden_states=text.to(dtype),
            class_labels=camera.to(dtype),
            layout=((len(seen) // in_set, in_set),),
            return_dict=False,
        )[0]
        return output.float()

    def condition(
        self, cameras: Orbit, known: Float[Tensor, "frames"], n_given: int
    ) -> Float[Tensor, "frames further h w"]:
        """Further channels of the network: which frames are given, and the rays of those whose camera is known."""
        size = self.latent_size
        if not self.takes_given:
            return torch.zeros(cameras.views, 0, size, size, device=self.device)
        mask = torch.zeros(cameras.views, 1, size, size, device=self.device)
        mask[:n_given] = 1
        ray = pluecker_rays(orbit_cameras(cameras, size, size)).to(self.device)
        return torch.cat([mask, ray * known[:, None, None, None]], dim=1)


def load_joint_views(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> JointViewsPrior:
    """Load a frozen joint-view prior from local safetensors files only.

    Args:
        folder: a diffusers-like folder, as the stage `joint_views` writes it, or MVDream's, which takes no given views.
        device: where the networks go.
        dtype: their precision.

    Raises:
        Prior3dError: as `check_joint_views_folder`, and if a weight is missing, misshapen, superfluous or not finite.
    """
    from prior3d.diffusion.joint_unet import JointUNet, SetUNet  # diffusers: seconds to import; only loading needs it

    folder = Path(folder)
    check_named(folder, "joint_views")
    if class_of(folder) == mvdream.CLASS:
        check_parts(folder)
        unet = mvdream.load_mvdream_unet(SetUNet, folder, dtype)
        diffusion = with_text(folder, unet, device, dtype)
        return JointViewsPrior(diffusion, mvdream.RADIUS, mvdream.FOV_DEG, mvdream.mvdream_camera, mvdream.TEXT_SUFFIX)
    check_joint_views_folder(folder)
    index = read_json(folder / "model_index.json")
    diffusion = with_text(folder, load_network(JointUNet, folder / "unet", "unet", dtype), device, dtype)
    return JointViewsPrior(diffusion, index["camera_radius"], index["fov_deg"])
