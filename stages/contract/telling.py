"""What a stage says in place of a library: warnings as lines for people, a full GPU as one error."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from pydantic import BaseModel

from prior3d.errors import Prior3dError, Prior3dWarning

# What costs GPU memory, in the order in which one turns it down: parameter, least value, as a group or plain.
COSTLY = (
    ("sds.views_at_once", 1),
    ("views.per_step", 1),
    ("sds.image_size", 64),
    ("n_samples", 64),
    ("rendering.rays_per_step", 1024),
    ("fit.rays_per_step", 1024),
    ("refresh.rays_per_step", 1024),
    ("batch_size", 1),
)


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print warnings of prior3d as one line each, `warning: ...`, which a run shows; others stay as they are."""
    with warnings.catch_warnings():
        others = warnings.showwarning
        warnings.simplefilter("always", Prior3dWarning)

        def shown(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, Prior3dWarning):
                sys.stdout.write(f"warning: {' '.join(str(message).split())}\n")
                sys.stdout.flush()
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = shown
        yield


def out_of_gpu_memory(name: str, params: BaseModel, error: BaseException) -> Prior3dError | None:
    """The error to tell a person when a GPU's memory is full; None: it is something else."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, torch.OutOfMemoryError):
        return None
    said = " ".join(str(error).split()).removeprefix("CUDA out of memory. ").partition(". ")[0].rstrip(".")
    return Prior3dError(
        f"stage {name}: the GPU's memory is used up ({said or 'no more was given'}); {what_to_lower(name, params)}; "
        "its checkpoint is kept, and the run goes on there if no parameter of this stage changes"
    )


def what_to_lower(name: str, params: BaseModel) -> str:
    """What takes less GPU memory, of what this stage can be told."""
    ways = ["end other programs on this GPU"]
    if getattr(params, "precision", "float16") == "float32":
        ways.append("take --precision float16")
    lower = [f"{name}.{path} (now {value})" for path, least in COSTLY if (value := _value(params, path)) > least]
    if lower:
        ways.append(f"lower {' or '.join(lower)}")
    elif _value(params, "sds.views_at_once", absent=-1) == 0:
        ways.append(f"set {name}.sds.views_at_once=1")
    return ", ".join(ways[:-1]) + " or " * (len(ways) > 1) + ways[-1]


def _value(params: Any, path: str, absent: int = 0) -> int:
    """A number within groups of parameters."""
    for part in path.split("."):
        params = getattr(params, part, None)
    return params if isinstance(params, int) else absent
