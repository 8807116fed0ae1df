"""Files of weights as they lie on the disk; nothing here imports torch."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from prior3d.errors import Prior3dError


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
