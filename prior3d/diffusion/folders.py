"""What a prior's folder holds and can serve as, told without reading a tensor; nothing here imports torch."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from prior3d.errors import Prior3dError
from prior3d.inside import resolved_inside
from prior3d.limits import read_json as read_limited_json

EXTRA_INPUT_CHANNELS = {"text_to_image": 0, "inpainting": 5, "instruct": 4}  # beyond the latent's own channels
RAYS_AND_MASK = 7  # input channels of a joint-view prior beyond the latents: rays of its pixels, and if it is given
NAMED_ROLES = {  # by the class in model_index.json
    "ViewsPrior": "views",
    "JointViewsPrior": "joint_views",
    "MVDreamPipeline": "joint_views",
}
EXAMPLES = {"views": "a views prior, e.g. toy-views", "joint_views": "a joint-view prior, e.g. toy-mv"}
COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHT_STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
PICKLE_SUFFIXES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}


# What a folder holds that cannot serve, and why; by what its index has: a component, or the beginning of its class.
UNSUPPORTED = {
    "text_encoder_2": "SDXL's layout: two text encoders, and a UNet that is told image sizes and pooled text",
    "StableDiffusionXL": "SDXL's layout: two text encoders, and a UNet that is told image sizes and pooled text",
    "StableDiffusion3": "Stable Diffusion 3: a flow-matching transformer, without the noise schedule that is used here",
    "Flux": "FLUX: a flow-matching transformer, without the noise schedule that is used here",
    "transformer": "a diffusion transformer in place of a UNet",
}


def refuse_unsupported(folder: Path) -> None:
    """Refuse a pipeline of a kind that is known not to serve (raises Prior3dError); others are looked at further."""
    index = read_json(folder / "model_index.json")
    kind = str(index.get("_class_name", ""))
    if kind in NAMED_ROLES:
        return
    for name, why in sorted(UNSUPPORTED.items(), key=lambda entry: entry[0][0].islower()):
        component = index.get(name)
        if kind.startswith(name) or (isinstance(component, list) and component and component[0] is not None):
            raise Prior3dError(
                f"prior {folder}: a {kind}, which cannot serve as a prior here ({why}); give a pipeline of Stable "
                "Diffusion 1.x or 2.x, or one that was made from these"
            )


def role_of(folder: Path) -> str:
    """The role of a prior's folder: of `EXTRA_INPUT_CHANNELS`, of `NAMED_ROLES`, or `scorer` for a CLIPModel folder.

    Raises:
        Prior3dError: no prior, or none of a known role.
    """
    if not (folder / "model_index.json").is_file():
        if (folder / "config.json").is_file() and read_json(folder / "config.json").get("model_type") == "clip":
            return "scorer"
        raise Prior3dError(f"prior {folder}: neither a diffusers pipeline (model_index.json) nor a CLIPModel folder")
    if named := named_role(folder):
        return named
    refuse_unsupported(folder)
    inputs, latents = _number(folder / "unet", "in_channels"), _number(folder / "vae", "latent_channels")
    extra = inputs - latents
    for role, channels in EXTRA_INPUT_CHANNELS.items():
        if channels == extra:
            return role
    raise Prior3dError(
        f"prior {folder}: its UNet takes {inputs} channels, which is no known role: {_all_roles(latents)}"
    )


def named_role(folder: Path) -> str | None:
    """The role that the class in a folder's index stands for; None where its channels tell the role.

    Raises:
        Prior3dError: there is no index.
    """
    return NAMED_ROLES.get(class_of(folder))


def class_of(folder: Path) -> str:
    """The class in a folder's index (raises Prior3dError if there is none)."""
    if not folder.is_dir():
        raise Prior3dError(f"prior {folder}: no such folder; give the folder or the name of a prior")
    return str(read_json(folder / "model_index.json").get("_class_name", "pipeline without a name"))


def check_named(folder: Path, role: str) -> None:
    """Hold that a folder's index names a role (raises Prior3dError); its parts are looked over where it is loaded."""
    if named_role(folder) != role:
        raise Prior3dError(f"prior {folder}: it is a {class_of(folder)}, but {role} is needed; give {EXAMPLES[role]}")


def check_channels(folder: Path, role: str) -> None:
    """Hold the UNet's input against the role, and its cross-attention against the text encoder.

    Raises:
        Prior3dError: the role is unknown, the UNet is of another, or the text encoder of another model.
    """
    if role not in EXTRA_INPUT_CHANNELS:
        raise Prior3dError(f"prior role {role!r} is unknown; it is one of {', '.join(EXTRA_INPUT_CHANNELS)}")
    if named := named_role(folder):
        what = "makes views of posed pictures" if named == "views" else "draws several views of a thing together"
        raise Prior3dError(f"prior {folder}: it {what}, but {role} is needed; give another prior")
    latent_channels = _number(folder / "vae", "latent_channels")
    found, expected = _number(folder / "unet", "in_channels"), latent_channels + EXTRA_INPUT_CHANNELS[role]
    if found != expected:
        names = {latent_channels + extra: name for name, extra in EXTRA_INPUT_CHANNELS.items()}
        raise Prior3dError(
            f"prior {folder}: its UNet takes {found} channels ({names.get(found, 'no known role')}), but {role} needs "
            f"{expected}; give a prior made for {role}"
        )
    check_text_width(folder)


def check_text_width(folder: Path) -> None:
    """Hold the UNet's cross-attention against the text encoder (raises Prior3dError)."""
    unet, text = (read_json(folder / name / "config.json") for name in ("unet", "text_encoder"))
    width = unet.get("cross_attention_dim")
    inner = text.get("text_config")
    text_width = text.get("hidden_size", inner.get("hidden_size") if isinstance(inner, dict) else None)
    if width != text_width:
        raise Prior3dError(
            f"prior {folder}: the UNet attends to {width}-wide text, but text_encoder/ makes {text_width}-wide text; "
            "the two are from different models (or it is a pipeline with several text encoders, which is not supported)"
        )


def check_prior_folder(folder: Path, role: str) -> None:
    """Check that a folder can serve as a prior, without loading a tensor: cheap enough to do before anything runs.

    Args:
        folder: a diffusers pipeline folder.
        role: `text_to_image`, `inpainting` (mask and masked latents as further input) or `instruct` (InstructPix2Pix).

    Raises:
        Prior3dError: folder or component missing, weights only pickled or truncated, a UNet of another role.
    """
    folder = Path(folder)
    if role not in EXTRA_INPUT_CHANNELS:
        raise Prior3dError(f"prior role {role!r} is unknown; it is one of {', '.join(EXTRA_INPUT_CHANNELS)}")
    check_parts(folder)
    check_channels(folder, role)


def check_parts(folder: Path) -> None:
    """Check that a prior with a text side has all its parts, without loading a tensor.

    Raises:
        Prior3dError: folder or component missing, weights only pickled or truncated.
    """
    if not folder.is_dir():
        raise Prior3dError(
            f"prior {folder}: no such folder; give --prior a diffusers pipeline folder or a prior's name"
        )
    if not (folder / "model_index.json").is_file():
        raise Prior3dError(f"prior {folder}: it has no model_index.json, so it is not a diffusers pipeline folder")
    refuse_unsupported(folder)
    missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
    if missing:
        raise Prior3dError(f"prior {folder}: it lacks {', '.join(m + '/' for m in missing)}; complete the folder")
    words = folder / "tokenizer"  # without its files transformers makes an empty vocabulary and says nothing
    if not (words / "tokenizer.json").is_file() and not all(
        (words / f).is_file() for f in ("vocab.json", "merges.txt")
    ):
        raise Prior3dError(
            f"prior {folder}: tokenizer/ lacks tokenizer.json, or vocab.json and merges.txt; complete it"
        )
    for name in WEIGHT_STEMS:
        for file in weight_files(folder / name, name)[0]:
            check_safetensors(file)


def check_joint_views_folder(folder: Path) -> None:
    """Check that a folder can serve as a joint-view prior, without loading a tensor.

    Raises:
        Prior3dError: folder or component missing, of another role, weights pickled or truncated, parts that do not fit.
    """
    folder = Path(folder)
    check_parts(folder)
    check_named(folder, "joint_views")
    check_text_width(folder)
    unet, vae = (read_json(folder / name / "config.json") for name in ("unet", "vae"))
    found, expected = unet.get("in_channels"), vae.get("latent_channels", 4) + RAYS_AND_MASK
    if found != expected:
        raise Prior3dError(
            f"prior {folder}: its UNet takes {found} channels, but a joint-view prior's takes {expected}: latents, a "
            "mask and rays; unet/ and vae/ are from different models"
        )
    index = read_json(folder / "model_index.json")
    for name, most in (("camera_radius", 1e6), ("fov_deg", 179.0)):
        value = index.get(name)
        if not isinstance(value, int | float) or not 0 < value < most:
            raise Prior3dError(f"prior {folder}: model_index.json must say its cameras' own {name}; add the number")


def weight_files(folder: Path, component: str) -> tuple[list[Path], str | None]:
    """Find one complete set of safetensors weights of a component.

    Returns:
        (files, variant): the shards, usually one file; variant is None or "fp16", as in diffusers' file names.
    """
    stem = WEIGHT_STEMS[component]
    for variant, infix in ((None, ""), ("fp16", ".fp16")):
        if (single := folder / f"{stem}{infix}.safetensors").is_file():
            return [single], variant
        if (index := folder / f"{stem}.safetensors.index{infix}.json").is_file():
            return _shards(folder, index), variant
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {stem}.safetensors"
        )
    raise Prior3dError(f"prior component {folder}: there is no {stem}.safetensors; complete the folder")


def _shards(folder: Path, index: Path) -> list[Path]:
    """The files that an index of shards names (raises Prior3dError): all of them in the index's own folder."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise Prior3dError(f"prior file {index}: weight_map must name a file for each tensor; fetch it again")
    for name in set(names.values()):
        resolved_inside(folder, name, str(index), "complete the folder")
    return [folder / name for name in sorted(set(names.values()))]


def check_safetensors(file: Path) -> None:
    """Check that a safetensors file is as long as its header says, so that a torn download is found before a run.

    No tensor is read.

    Raises:
        Prior3dError: the file is missing, is no safetensors file, or is shorter or longer than its header says.
    """
    if not file.is_file():
        raise Prior3dError(f"weights {file}: the file is missing; fetch or copy it again")
    try:
        with safe_open(file, framework="numpy"):
            return
    except (SafetensorError, OSError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise Prior3dError(
            f"weights {file}: {file.stat().st_size} bytes, which are not a whole safetensors file ({reason}); "
            "fetch or copy it again"
        ) from None


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object, with an error that names the file (raises Prior3dError)."""
    try:
        content = read_limited_json(file)
    except OSError as error:
        raise Prior3dError(f"prior file {file}: cannot be read ({error.strerror}); complete the folder") from error
    except ValueError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise Prior3dError(f"prior file {file}: not JSON ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise Prior3dError(f"prior file {file}: a JSON object is needed, found {type(content).__name__}")
    return content


def _number(component: Path, key: str) -> int:
    """A number of channels in a component's config.json; 4 where it says none (raises Prior3dError)."""
    value = read_json(component / "config.json").get(key, 4)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Prior3dError(f"prior file {component / 'config.json'}: {key} is {str(value)[:40]!r}, not a whole number")
    return value


def _all_roles(latent_channels: int) -> str:
    return ", ".join(f"{role} {latent_channels + extra}" for role, extra in EXTRA_INPUT_CHANNELS.items())
