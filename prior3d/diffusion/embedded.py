"""Where the priors lie that travel with the project: in a checkout, or inside the installed wheel."""

from pathlib import Path

from prior3d.errors import Prior3dError

PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def embedded_folders() -> tuple[Path, Path]:
    """The folders that may hold embedded priors: `data/priors` of a checkout, `prior3d/embedded` of a wheel."""
    return PACKAGE_PARENT / "data" / "priors", PACKAGE_PARENT / "prior3d" / "embedded"


def embedded_names() -> list[str]:
    """Names of the embedded diffusion priors that are there."""
    found = {p.parent.name for base in embedded_folders() for p in base.glob("*/model_index.json")}
    return sorted(found)


def is_embedded(name: str) -> bool:
    """Whether an embedded prior has this name, scorers included."""
    return bool(name) and "/" not in name and any(_is_prior(base / name) for base in embedded_folders())


def _is_prior(folder: Path) -> bool:
    return any((folder / file).is_file() for file in ("model_index.json", "preprocessor_config.json"))


def embedded_prior(name: str) -> Path:
    """The folder of an embedded prior.

    Args:
        name: such as `toy`.

    Raises:
        Prior3dError: no embedded prior has this name.
    """
    for base in embedded_folders():
        if _is_prior(base / name):
            return base / name
    known = ", ".join(embedded_names()) or "none"
    raise Prior3dError(
        f"prior {name!r} is not embedded in this installation (embedded: {known}): name one of these, "
        "or the folder of a diffusers pipeline with --prior PATH"
    )
