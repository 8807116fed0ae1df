import torch

# Small tensors: one thread is faster, and does not wait for cores that others use.
torch.set_num_threads(1)
