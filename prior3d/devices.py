"""The one place where a device is chosen."""

import torch

from prior3d.errors import Prior3dError


def choose_device(name: str) -> torch.device:
    """Turn a user's word into a device that is there.

    Args:
        name: "auto" (cuda if there, then mps, then cpu), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        Prior3dError: the word is not a device, or the device is not there. Never falls back silently.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise Prior3dError(f"device: '{name}' is not a device. Use auto, cpu, cuda, cuda:N or mps.")
    if kind == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= found:
            raise Prior3dError(
                f"device: '{name}' asked for, but {found} CUDA devices are here. Use --device cpu or auto."
            )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise Prior3dError("device: 'mps' asked for, but this machine has no Metal device. Use --device cpu or auto.")
    if kind == "cpu":
        same_bits_on_threads()
    return torch.device(name)


def same_bits_on_threads() -> None:
    """Let PyTorch add up in one order on the CPU, whatever its threads do.

    The gradient of `table[rows]` is otherwise added by several threads at once, in the order in which they come: two
    threads gave 7 different results in 30 trials, in this mode 1. One thread gives the same bits in either mode.
    """
    # `use_deterministic_algorithms` does the same, and first imports the compiler: 1.1 s of every stage.
    torch.set_deterministic_debug_mode("warn")
    # Filling would only take time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
