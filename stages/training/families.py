"""Families of priors: which folder a training writes into, and the weights of an older family that it begins with."""

import shutil
from pathlib import Path

from prior3d.errors import Prior3dError

OLDEST = "toy"  # the family that travels with the package


def family_folder(run_folder: Path, folder: str, family: str) -> Path:
    """The place of a prior of a family: `data/priors/toy/vae` is `data/priors/wide/vae` in the family `wide`.

    Raises:
        Prior3dError: the family's name is no plain folder name.
    """
    if not family or not family.replace("-", "").replace("_", "").isalnum():
        raise Prior3dError(f"family {family!r}: write it in letters and numbers, e.g. wide")
    home, prior, *rest = Path(folder).relative_to("data").parts
    return run_folder.joinpath("data", home, prior.replace(OLDEST, family, 1), *rest)


def begin_with_oldest(run_folder: Path, folder: str, family: str, parts: tuple[str, ...]) -> Path:
    """The place of a prior of a family, with copies of the oldest family's parts where it has none yet.

    Args:
        run_folder: of the project.
        folder: of the prior, in the oldest family.
        family: the family.
        parts: files or folders in the prior's folder that a warm start reads; "." for the folder itself.
    """
    target, source = family_folder(run_folder, folder, family), run_folder / folder
    for part in parts if target != source else ():
        if not (target / part).exists():
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (source / part).is_dir() else shutil.copyfile
            copy(source / part, target / part)
    return target
