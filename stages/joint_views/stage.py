"""The body of joint_views; the package says what it takes, gives and is set by."""

from prior3d.diffusion.joint_views import JointViewsPrior, load_joint_views
from prior3d.diffusion.known_words import read
from prior3d.diffusion.networks import dtype_of
from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, write_png
from prior3d.reconstruction.drawn_views import Background, DrawnViews, GivenViews, image_views, text_views
from prior3d.reconstruction.given_views import given_image, with_agreeing_mirror_images
from prior3d.seeds import Seeds
from prior3d.settings.joint_views import GivenSettings
from stages.artifacts.captions import load_caption
from stages.artifacts.drawn_views import ViewsOfObject, save_drawn_views
from stages.artifacts.fields import save_field
from stages.artifacts.given_views import posed_images
from stages.artifacts.images import load_object_image
from stages.contract.job import Job
from stages.contract.preview import warn_of_unknown_words
from stages.joint_views import Params
from stages.joint_views.completed import completed

COLUMNS = 12  # of the preview
SMALLEST_COVERAGE, LARGEST_COVERAGE = 0.01, 0.9  # of the drawn views


def run(job: Job, params: Params) -> None:
    """Draw or complete, cut out, keep."""
    prior = load_joint_views(job.prior(), job.device, dtype_of(params.precision))
    caption = load_caption(job.inputs["caption"]) if "caption" in job.inputs else None
    text = caption.believed if caption is not None else job.prompt if "prompt" in job.inputs else ""
    words = prior.unknown_words(text)
    warn_of_unknown_words(job, words, 1)
    text = read(text, words)  # colours that it names are looked for too
    unknown = caption is not None and not caption.known
    if unknown and "image" in job.inputs:
        completion = completed(job, params, prior, load_object_image(job.inputs["image"]), text)
        save_field(job.out, completion.field)
        keep(job, DrawnViews(completion.views, 1, Background("white", 1.0)))
    else:
        found = drawn(job, params, prior, text, known=not unknown)
        check(job, found)
        keep(job, found)


def drawn(job: Job, params: Params, prior: JointViewsPrior, text: str, *, known: bool) -> DrawnViews:
    """Views that the prior draws, from words or given images; `known`: it knows what the images show."""
    given = given_views(job, prior, params.given, known)
    if given is None and not text:
        raise Prior3dError(f"stage {job.name}: give it words, an image or posed images (--prompt, --image or --views)")
    job.progress(0, 1, text=f"drawing views of {text or 'the images, without words'}")
    noise = Seeds(params.seed).generator("noise", job.device)
    if given is None:
        return text_views(prior, text, params.drawing, noise)
    weight = 1.0 if known else params.given.unknown_weight
    return image_views(prior, text, given, params.drawing, params.given, noise, weight)


def keep(job: Job, found: DrawnViews) -> None:
    """Write the views, and a sheet of them."""
    save_drawn_views(job.out, ViewsOfObject(found.views, found.n_given))
    if found.n_lost:
        job.progress(0, 1, text=f"warning: {found.n_lost} drawn views show no object and are left out: see the preview")
    images = found.views.over(found.background.level).movedim(1, -1).cpu().numpy()
    rows = [list(images[first : first + COLUMNS]) for first in range(0, len(images), COLUMNS)]
    write_png(job.out / "preview.png", contact_sheet(rows))
    job.metric("views", len(images) - found.n_given, "views")
    job.progress(1, 1, preview=job.out / "preview.png", text=f"{len(images) - found.n_given} views")


def given_views(job: Job, prior: JointViewsPrior, counted: GivenSettings, known: bool) -> GivenViews | None:
    """The given images, and mirror images of what is known, whose front is then along +x; None without any."""
    if "image" in job.inputs:
        return given_image(prior, load_object_image(job.inputs["image"]), counted)
    if "views" not in job.inputs:
        return None
    given = posed_images(job, prior, counted)
    if not known:
        return given
    given, agree = with_agreeing_mirror_images(given, counted)
    if agree:
        job.metric("mirror_coverage", agree, "of the outlines", higher_is_better=True)
    return given


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
