"""NVIDIA GPUs as their driver's library tells of them (NVML): asking starts no CUDA, so that forks stay usable."""

import ctypes
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prior3d.limits import read_bytes

LIBRARY = "libnvidia-ml.so.1"
BFLOAT16_SINCE = (8, 0)  # compute capability


@dataclass(frozen=True)
class Gpu:
    """A GPU now.

    Attributes:
        number: as CUDA counts them in the order of their buses.
        name: of its kind.
        free: bytes that nobody has.
        total: bytes that it has.
        capability: major and minor.
    """

    number: int
    name: str
    free: int
    total: int
    capability: tuple[int, int]


@dataclass(frozen=True)
class Machine:
    """All GPUs, and the driver: its version, and the newest CUDA that it can serve."""

    gpus: tuple[Gpu, ...]
    driver: str
    cuda: tuple[int, int]


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def read_machine(load: Callable[[str], Any] = ctypes.CDLL) -> Machine | None:
    """What the driver tells; None where there is no driver, or it does not answer."""
    try:
        library = load(LIBRARY)
    except OSError:
        return None
    if library.nvmlInit_v2() != 0:
        return None
    try:
        count, version, driver = ctypes.c_uint(), ctypes.c_int(), ctypes.create_string_buffer(96)
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return None
        library.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(version))
        library.nvmlSystemGetDriverVersion(driver, ctypes.c_uint(96))
        found = [_gpu(library, number) for number in range(count.value)]
        cuda = (version.value // 1000, version.value % 1000 // 10)
        return Machine(tuple(gpu for gpu in found if gpu is not None), driver.value.decode(errors="replace"), cuda)
    finally:
        library.nvmlShutdown()


def _gpu(library: Any, number: int) -> Gpu | None:
    handle, memory, name = ctypes.c_void_p(), _Memory(), ctypes.create_string_buffer(96)
    major, minor = ctypes.c_int(), ctypes.c_int()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle)) != 0:
        return None
    if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0:
        return None
    library.nvmlDeviceGetName(handle, name, ctypes.c_uint(96))
    library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
    capability = (major.value, minor.value)
    return Gpu(number, name.value.decode(errors="replace"), int(memory.free), int(memory.total), capability)


def torch_cuda() -> tuple[int, int] | None:
    """The CUDA that the installed PyTorch was built for, read without importing it; None: for CPUs, or not there."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = read_bytes(Path(spec.origin).parent / "version.py").decode(errors="replace")
    except (OSError, ValueError):
        return None
    found = re.search(r"^cuda\b[^=]*= *['\"](\d+)\.(\d+)", text, flags=re.M)
    return (int(found[1]), int(found[2])) if found else None


def why_not_usable(machine: Machine, built_for: tuple[int, int] | None) -> str:
    """Why PyTorch cannot use this machine's GPUs, and what to do; empty if it can."""
    if built_for is None:
        return (
            "the installed PyTorch was built without CUDA; install one of the same version that was built with it, "
            "from pytorch.org"
        )
    if machine.cuda[0] < built_for[0]:
        told = ".".join(map(str, machine.cuda))
        return (
            f"the GPU's driver {machine.driver} serves CUDA {told}, the installed PyTorch needs {built_for[0]}; "
            f"update the driver, or install a PyTorch for CUDA {machine.cuda[0]}"
        )
    return ""
