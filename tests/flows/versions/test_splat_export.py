"""`export RUN --splats KIND`: the splats alone; what is wrong with the target is said."""

import re

import pytest
import torch

from flows.provenance.statement import read_statement
from prior3d.splats.field import SplatsField, cameras_around
from prior3d.splats.files import read_splats
from stages.artifacts.splats import save_splats
from tests.gaussian_splats import some_splats


@pytest.fixture
def made(fake):
    """A run whose last stage left splats beside its text."""
    fake.run()
    save_splats(fake.folder() / "joining", SplatsField(some_splats(n=20), cameras_around(16)))
    assert fake.cli("accept", "demo")[0] == 0
    return fake


def test_the_splats_alone(made, tmp_path):
    for kind in ("ply", "spz", "splat", "glb"):
        code, out, err = made.cli("export", "demo", "--to", str(tmp_path / "out"), "--splats", kind)
        assert code == 0 and re.search(rf"demo\.{kind} \(\d+ (bytes|kB)\)", out), err
        assert read_splats(tmp_path / "out" / f"demo.{kind}").config.n_splats == 20
    back = read_splats(tmp_path / "out" / "demo.ply")
    assert torch.allclose(back.means, some_splats(n=20).means, atol=1e-6)
    for kind in ("ply", "glb"):
        _, said = read_statement((tmp_path / "out" / f"demo.{kind}").read_bytes())
        assert (said["run"], said["file"]) == ("demo", f"joining/splats.{kind}")
    for target, more, message in (
        ("out/demo.ply", ("--splats", "ply"), "exists; name another file"),
        ("a.ply", ("--splats", "spz"), "ends in .ply, but --splats is spz"),
        ("a.ply", ("--splats", "ply", "--size", "1"), "--splats writes splats as they are"),
        ("a.ply", ("--splats", "ksplat"), "invalid choice: 'ksplat'"),
    ):
        code, _, err = made.cli("export", "demo", "--to", str(tmp_path / target), *more)
        assert code == 2 and message in err


def test_a_run_without_splats_is_told(fake, tmp_path):
    fake.run()
    code, _, err = fake.cli("export", "demo", "--to", str(tmp_path), "--splats", "ply")
    assert code == 2 and "has no splats; make some: --set scene_fit.kind=splats" in err
