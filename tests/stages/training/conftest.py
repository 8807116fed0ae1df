"""Trainings flush denormal numbers to zero in their whole process; other tests need them."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def denormal_numbers_afterwards() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)
