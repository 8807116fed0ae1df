"""Importing this makes torch look as it does on a machine with one GPU, and notes every call that marks later forks.

Each line of the file that FAKE_CUDA_LOG names is one such call and the innermost callers outside torch.
"""

import os
import sys
import traceback
from pathlib import Path

import torch

PARENT = os.getpid()
LOG = Path(os.environ["FAKE_CUDA_LOG"])


def marking(name, answer):
    def call(*_):
        outside = [
            f for f in traceback.extract_stack() if "/torch/" not in f.filename and "importlib" not in f.filename
        ]
        with LOG.open("a") as stream:
            stream.write(f"{name} from {' < '.join(f'{f.filename}:{f.lineno}' for f in outside[-4:-1][::-1])}\n")
        if answer is None:
            raise RuntimeError(f"{name} was called")
        return answer

    return call


def in_bad_fork():
    return os.getpid() != PARENT and LOG.exists()


torch._C._cuda_getDeviceCount = marking("_cuda_getDeviceCount", 1)
torch._C._cuda_getArchFlags = marking("_cuda_getArchFlags", "sm_90")
torch._C._cuda_init = marking("_cuda_init", None)
torch._C._cuda_getCurrentRawStream = marking("_cuda_getCurrentRawStream", None)
torch._C._cuda_isInBadFork = torch.cuda._is_in_bad_fork = in_bad_fork
torch._C._accelerator_getAccelerator = lambda: torch.device("cuda")
torch._C._has_cuda, torch.version.cuda, torch.cuda._cudart = True, "12.8", sys
torch.cuda._raw_device_count_nvml = lambda: 1
