"""prior3d from Python: the same runs as from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import prior3d
from flows.api import Page


def count(fake, **more):
    return prior3d.run("counting-method", prompt="one two", prior=str(fake.prior), preset="toy",
                       project=fake.project, **more)  # fmt: skip


def test_a_run_from_python_is_a_run_of_the_command_line(fake):
    result = count(fake, name="demo", seed=3)
    assert (result.name, result.version, result.folder) == ("demo", 1, fake.folder())
    assert "counting" in result.metrics and result.params["counting"]["seed"] == 3
    code, out, _ = fake.run("--seed", "3")
    assert code == 0 and "nothing to do" in out
    assert repr(prior3d.load("demo", project=fake.project)) == repr(result)


def test_a_changed_parameter_is_a_new_version_and_old_ones_stay(fake):
    first = count(fake, name="demo")
    second = count(fake, name="demo", set={"counting.steps": 7})
    assert second.version == 2 and [v.version for v in second.versions] == [1, 2]
    assert second.params["counting"]["steps"] == 7 != first.params["counting"]["steps"]
    page = first.compare(second)
    assert "demo@1" in page.html and "http://" not in page._repr_html_().replace("http://www.w3.org", "")


def test_without_a_name_the_prompt_is_the_name(fake):
    assert count(fake).name == "one-two"


def test_a_folder_in_no_project_becomes_one(fake, tmp_path):
    result = prior3d.run("counting-method", prompt="one", prior=str(fake.prior), preset="toy", project=tmp_path / "new")
    assert result.folder == tmp_path / "new/data/runs/one" and (tmp_path / "new/.dvc").is_dir()


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("counting", {}, "did you mean 'counting-method'"),
        ("counting-method", {"promt": "x"}, "no input 'promt'; did you mean prompt"),
        ("counting-method", {}, "--prompt is missing"),
        ("counting-method", {"prompt": "x", "set": {"counting.stpes": 2}}, "did you mean counting.steps"),
        ("counting-method", {"prompt": "x", "device": "gpu"}, "did you mean 'cuda'"),
        ("counting-method", {"prompt": "x", "preset": "papre"}, "invalid choice: 'papre'"),
    ],
)
def test_what_is_wrong_is_one_exception(fake, method, more, message):
    with pytest.raises(prior3d.Prior3dError, match=message):
        prior3d.run(method, prior=str(fake.prior), project=fake.project, **more) if method != "counting" else (
            prior3d.run(method)
        )


def test_a_run_without_a_mesh_says_so(fake):
    with pytest.raises(prior3d.Prior3dError, match="this run has no GLB; see its stages with: prior3d status demo"):
        count(fake, name="demo").show()


def test_a_page_is_shown_in_a_frame_and_can_be_saved(tmp_path):
    page = Page('<p class="a">one</p>')
    assert 'srcdoc="&lt;p class=&quot;a&quot;&gt;one&lt;/p&gt;"' in page._repr_html_()
    assert page.save(tmp_path / "page.html").read_text() == '<p class="a">one</p>'


def test_a_persons_own_flows_are_named_and_the_library_works_beside_them(tmp_path):
    code = "import prior3d, prior3d.cameras\ntry: print(prior3d.run.__name__)\n"
    code += "except prior3d.Prior3dError as error: print(error)"

    def said():
        env = os.environ | {"PYTHONPATH": str(Path(prior3d.__file__).parents[1])}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.stdout + done.stderr

    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "mine.py").touch()
    assert said() == "run\n"  # a folder of scripts is no obstacle, a package is
    (tmp_path / "flows" / "__init__.py").touch()
    assert f"another package called `flows` comes before prior3d's: {tmp_path / 'flows'}" in said()


def test_the_library_loads_nothing_of_the_flows_until_it_is_asked():
    code = "import sys, prior3d; assert not {m for m in sys.modules if m.startswith(('flows', 'torch', 'pydantic'))}; "
    code += "assert 'latent-nerf' in prior3d.methods(); assert prior3d.__version__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
    with pytest.raises(AttributeError, match="module 'prior3d' has no attribute 'rum'"):
        prior3d.rum  # noqa: B018
    assert {"run", "load", "Prior3dError"} <= set(dir(prior3d))
