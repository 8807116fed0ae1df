"""Files of weights: whole ones pass, and every kind of damage is one line that says what to do."""

import struct

import pytest
import torch
from safetensors.torch import save

from prior3d.diffusion.folders import check_safetensors
from prior3d.errors import Prior3dError

WHOLE = save({"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(0)})


def header(text):
    return struct.pack("<Q", len(text)) + text


def test_whole_file_passes(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(WHOLE)
    check_safetensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        WHOLE[:5],
        WHOLE[:40],
        WHOLE[:-1],
        WHOLE + b"x",
        struct.pack("<Q", 2**60) + b"{}",
        header(b"{{{{") + WHOLE,
        header(b"[]"),
        header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": []}}'),
        header(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}') + bytes(4),
    ],
)
def test_damaged_file_is_refused(tmp_path, content):
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    with pytest.raises(Prior3dError) as error:
        check_safetensors(file)
    message = str(error.value)
    assert message.startswith(f"weights {file}: {len(content)} bytes, which are not a whole safetensors file (")
    assert message.endswith("); fetch or copy it again") and "\n" not in message


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(Prior3dError, match="w.safetensors: the file is missing; fetch or copy it again"):
        check_safetensors(tmp_path / "w.safetensors")
