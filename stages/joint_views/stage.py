"""The body of joint_views; the package says what it takes, gives and is set by."""

from prior3d.diffusion.joint_views import JointViewsPrior, load_joint_views
from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, write_png
from prior3d.reconstruction.drawn_views import DrawnViews, GivenViews, image_views, text_views
from prior3d.reconstruction.given_views import given_image
from prior3d.seeds import Seeds
from prior3d.settings.joint_views import GivenSettings
from stages.artifacts.captions import load_caption
from stages.artifacts.drawn_views import ViewsOfObject, save_drawn_views
from stages.artifacts.given_views import posed_images
from stages.artifacts.images import load_object_image
from stages.contract.job import Job
from stages.contract.preview import warn_of_unknown_words
from stages.joint_views import Params

COLUMNS = 12  # of the preview
SMALLEST_COVERAGE, LARGEST_COVERAGE = 0.01, 0.9  # of the drawn views


def run(job: Job, params: Params) -> None:
    """Draw, cut out, keep."""
    prior = load_joint_views(job.prior(), job.device)
    text = text_of(job, prior)
    given = given_views(job, prior, params.given)
    if given is None and not text:
        raise Prior3dError(f"stage {job.name}: give it words, an image or posed images (--prompt, --image or --views)")
    if given is not None and not prior.takes_given:
        raise Prior3dError(
            f"stage {job.name}: this prior draws views from words alone and takes no images; give --prompt alone, or "
            "another --prior, e.g. toy-mv"
        )
    job.progress(0, 1, text=f"drawing views of {text or 'the image, without words'}")
    noise = Seeds(params.seed).generator("noise", job.device)
    if given is None:
        found = text_views(prior, text, params.drawing, noise)
    else:
        found = image_views(prior, text, given, params.drawing, params.given, noise)
    check(job, found)
    save_drawn_views(job.out, ViewsOfObject(found.views, found.n_given))
    images = found.views.over(found.background.level).movedim(1, -1).cpu().numpy()
    rows = [list(images[first : first + COLUMNS]) for first in range(0, len(images), COLUMNS)]
    write_png(job.out / "preview.png", contact_sheet(rows))
    job.metric("drawn", len(images) - found.n_given, "views")
    job.progress(1, 1, preview=job.out / "preview.png", text=f"{len(images) - found.n_given} views")


def given_views(job: Job, prior: JointViewsPrior, counted: GivenSettings) -> GivenViews | None:
    """The given images; None without any."""
    if "image" in job.inputs:
        return given_image(prior, load_object_image(job.inputs["image"]), counted)
    return posed_images(job, prior, counted) if "views" in job.inputs else None


def text_of(job: Job, prior: JointViewsPrior) -> str:
    """What the prior is told: a person's words, else a caption that was found for a thing that it knows."""
    if "caption" in job.inputs:
        text = load_caption(job.inputs["caption"]).believed
    else:
        text = job.prompt if "prompt" in job.inputs else ""
    warn_of_unknown_words(job, prior.unknown_words(text), 1)
    return text


def check(job: Job, found: DrawnViews) -> None:
    """Hold that drawn views show an object (raises Prior3dError), and record how much of them it covers."""
    masks = found.views.masks
    drawn = masks[found.n_given :] if masks is not None else found.views.weights
    covered = float((drawn > 0.5).float().mean())
    if not SMALLEST_COVERAGE <= covered <= LARGEST_COVERAGE:
        raise Prior3dError(
            f"{job.name}: the drawn views show no object ({covered:.1%} of their pixels differ from the background); "
            "use words that the prior knows, another --seed, or raise joint_views.drawing.num_inference_steps"
        )
    job.metric("coverage", covered, "of pixels", n=len(drawn))
