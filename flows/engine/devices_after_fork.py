"""Which devices a forked process can use: neither CUDA nor Metal survives a fork once it was started."""

import ctypes
import os
import sys

# With this in the environment, `torch.cuda.is_available` counts GPUs through NVML. Without it, it starts the driver,
# and registers a handler that marks every later fork as bad: torch then refuses CUDA there. `torch.cuda.device_count`
# and `torch.accelerator.is_available` follow it. Three calls mark forks whatever is set: `torch._C._cuda_init` (any use
# of a GPU), `torch._C._cuda_getArchFlags` (`get_arch_list`), `torch._C._cuda_getDeviceCount` (the counting itself, also
# where there is no NVML, or a MIG slice is visible).
COUNT_WITHOUT_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"
CUDA_ERROR_NOT_INITIALIZED = 3


def cuda_driver_started() -> bool:
    """Whether this process has started the CUDA driver, through torch or through any other library."""
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_LAZY | os.RTLD_NOLOAD)
    except OSError:  # it is not even loaded
        return False
    return counts_devices(driver)


def counts_devices(driver: ctypes.CDLL) -> bool:
    """Whether the driver answers: it refuses to count devices before it is started, and asking does not start it."""
    return int(driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int()))) != CUDA_ERROR_NOT_INITIALIZED


def why_fork_cannot_serve(device: str, driver_started: bool, platform: str = sys.platform) -> str | None:
    """Why this process, which was forked, cannot use a device.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, as a person asks for it.
        driver_started: whether the parent had started the CUDA driver.
        platform: as `sys.platform`.

    Returns:
        None if it can; else the reason, which is empty where nothing else is to be expected.
    """
    kind = device.partition(":")[0]
    if platform == "darwin" and kind in ("auto", "mps"):
        return ""  # Metal does not work after a fork, and torch says so only by crashing
    torch = sys.modules.get("torch")
    marked = torch is not None and torch.cuda._is_in_bad_fork()
    if kind in ("auto", "cuda") and (marked or driver_started):
        return "a library started CUDA when it was imported, and no fork of its process can use it"
    return None
