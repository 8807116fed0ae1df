"""A library that lists what CUDA was compiled for when it is imported: nothing keeps that from the driver."""

import fake_cuda  # noqa: F401
import torch

torch.cuda.get_arch_list()
