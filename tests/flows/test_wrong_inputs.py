"""Wrong inputs of the kinds that strangers gave: each is answered by one line, and leaves nothing behind."""

import math
import shlex

import pytest
from PIL import Image

from flows.given_files import check_camera
from flows.terminal import Parser
from prior3d.errors import Prior3dError

LONGEST_ANSWER = 600
MUG = "run latent-nerf --prompt mug"
WRONG = {
    "": "there is no command",
    "rnu latent-nerf": "there is no command 'rnu'; did you mean 'run'?",
    "latent-nerf --prompt mug": "'latent-nerf' is a method; write: prior3d run latent-nerf",
    "run latent-nerv --prompt mug": "there is no method 'latent-nerv'; did you mean 'latent-nerf'?",
    "run latent-nerf": "--prompt is missing: what it is, in words",
    "run latent-nerf --prompt ' '": "--prompt is empty: say in words what to make",
    f"run latent-nerf --prompt {'x' * 10_000}": "--prompt has 10000 characters; use at most 1000",
    "run latent-nerf --promt mug": "did you mean --prompt?",
    "run quick": "say what to make it from: --prompt, --image or --images; for example: prior3d run quick",
    "run quick --image good.png --images capture": "quick takes one of them; leave the other out",
    f"{MUG} --set coarse_nerf.step=3": "there is no such parameter; did you mean coarse_nerf.steps?",
    f"{MUG} --set coarse_nrf.steps=3": "latent-nerf has no stage 'coarse_nrf'; did you mean coarse_nerf.steps?",
    f"{MUG} --set coarse_nerf.steps=0": "should be greater than or equal to 1; found 0",
    f"{MUG} --set coarse_nerf.steps=many": "should be a valid integer",
    f"{MUG} --set steps=3": "write stage.parameter=value, e.g. --set coarse_nerf.steps=300",
    f"{MUG} --set": "expected one argument",
    f"{MUG} --preset toi": "invalid choice: 'toi' (choose from 'toy', 'paper', 'turbo')",
    f"{MUG} --seed one": "invalid int value: 'one'",
    f"{MUG} --seed -1": "should be greater than or equal to 0; found -1",
    f"{MUG} --device gpu": "--device 'gpu' is not a device; did you mean 'cuda'?",
    f"{MUG} --device cuda:99": "cuda:99",
    f"{MUG} --stop-after coarse_nrf": "did you mean 'coarse_nerf'?",
    f"{MUG} --name a/b": "run name 'a/b': use 1 to 80 letters",
    f"{MUG} --prior toi": "did you mean 'toy'?",
    f"{MUG} --prior org/name": "pin one, e.g. --prior org/name@REVISION",
    f"{MUG} --prior folder": "holds no model_index.json",
    f"{MUG} --prior toy-views": "it makes views of posed pictures, but text_to_image is needed",
    "run realfusion --image none.png": "--image 'none.png': there is no such file",
    "run realfusion --image https://example.org/a.png": "there is no such file; download it first",
    "run realfusion --image folder": "--image 'folder': it is a folder; give a file",
    "run realfusion --image notes.txt": "its ending is '.txt'; use one of .png",
    "run realfusion --image notes.png": "--image 'notes.png': cannot be read as an image",
    "run realfusion --image empty.png": "--image 'empty.png': the file is empty",
    "run realfusion --image good.png --mask notes.png": "--mask 'notes.png': cannot be read as an image",
    "run realfusion --image good.png --camera 0,0": "--camera '0,0': not three numbers; write azimuth,elevation,fov",
    "run realfusion --image good.png --camera 0,99,40": "the elevation must lie in -90..90",
    "run latent-paint --prompt mug --mesh none.obj": "--mesh 'none.obj': there is no such file",
    "run latent-paint --prompt mug --mesh empty.obj": "--mesh 'empty.obj': the file is empty",
    "run latent-paint --prompt mug --mesh good.png": "its ending is '.png'; use one of .obj",
    "run scene": "say what to make it from: --scene or --photos",
    "run scene --scene none": "--scene 'none': there is no such folder",
    "run scene --scene notes.txt": "--scene 'notes.txt': it is a file; give the folder that holds it",
    "run scene --scene folder": "no transforms.json or transforms_train.json and no COLMAP model",
    "run scene --scene .": "no transforms.json or transforms_train.json and no COLMAP model",
    "run scene --scene capture --photos folder": "scene takes one of them; leave the other out",
    "run instruct-nerf2nerf --scene capture": "--instruction is missing",
    "run --from none.yaml": "--from 'none.yaml': there is no such file",
    "run --from notes.txt": "--from 'notes.txt': it holds no mapping; write it as a run's method.yaml is",
    "run nobody --set mesh_extraction.resolution=64": "there is no method 'nobody'",
    "plan nobody": "there is no run 'nobody'",
    "status nobody": "there is no run 'nobody'",
    "open nobody": "there is no run 'nobody'",
    "restore nobody@1": "there is no run 'nobody'",
    "watch nobody": "there is no run 'nobody'",
    "rm nobody": "there is no run 'nobody'",
    "export nobody --to mug.glb": "there is no run 'nobody'",
    "compare nobody": "takes 2 to 6 runs or versions, found 1",
    "ls --jsn": "did you mean --json?",
    "stage": "prior3d stage: NAME is missing; stages: ",
    "stage coarse_nrf": "there is no stage 'coarse_nrf'; did you mean 'coarse_nerf'?",
    "priors show toi": "did you mean 'toy'?",
    "priors sample toy": "--prompt is missing: prior toy (text_to_image) takes --prompt",
    "priors train toi": "training needs a checkout of prior3d",
    "sweep none.csv --method quick": "none.csv: there is no such file",
    "sweep typo.csv --method quick": "column 'promt' is no input and no parameter of quick; did you mean 'prompt'?",
    "sweep typo.csv": "line 2: no method; give --method, or a column `method`",
    "whence none.glb": "none.glb: there is no such file",
    "whence notes.txt": "carries no provenance",
    "completion tcsh": "invalid choice: 'tcsh'",
}
OF_A_RUN = {
    "open demo@9": "run demo has no version 9; its one version: 1",
    "export demo --to mug.fbx": ".fbx",
    "export demo --to mug.glb --size big": "'big'",
    "export demo --to mug.glb --size 0": "--size",
    "status demi": "did you mean 'demo'?",
    "diff demo": "the following arguments are required",
    "watch demo": "it left no field of an object; to see its results: prior3d open demo",
}


@pytest.fixture
def files(fake, monkeypatch):
    """A project beside files of which most are wrong."""
    monkeypatch.chdir(fake.project)
    for name, content in {
        "notes.txt": b"a note", "notes.png": b"a note", "empty.png": b"", "empty.obj": b"", "typo.csv": b"promt\nmug\n",
        "capture/transforms.json": b'{"camera_angle_x": 0.7, "frames": []}', "folder/notes.txt": b"a note",
    }.items():  # fmt: skip
        (fake.project / name).parent.mkdir(exist_ok=True)
        (fake.project / name).write_bytes(content)
    Image.new("RGB", (32, 32), (200, 0, 0)).save("good.png")
    return fake


def refused(fake, line, said):
    code, out, err = fake.cli(*(shlex.split(line) or [""]))
    assert (code, out) == (2, "") and err.startswith("error: ") and said in err, (line, err)
    assert len(err.splitlines()) == 1 and len(err) < LONGEST_ANSWER and "Traceback" not in err, (line, err)


def test_each_wrong_input_is_answered_by_one_line(files):
    for line, said in WRONG.items():
        refused(files, line, said)
        assert not list(files.project.joinpath("data", "runs").iterdir()), line


def test_wrong_words_to_a_run_are_answered_by_one_line(files):
    files.run()
    before = sorted(files.folder().rglob("*"))
    for line, said in OF_A_RUN.items():
        refused(files, line, said)
    assert sorted(files.folder().rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "camera", "rest"),
    [
        ("--camera -30,15,40", "-30,15,40", []),
        ("--camera=-30,15,40 a", "-30,15,40", ["a"]),
        ("a --camera -.5,-1,40", "-.5,-1,40", ["a"]),
        ("--camera 30,15,40", "30,15,40", []),
        ("a", None, ["a"]),
    ],
)
def test_a_camera_may_begin_below_zero(line, camera, rest):
    parser = Parser.of("run", "make")
    parser.add_argument("--camera")
    parser.add_argument("words", nargs="*")
    args = parser.parse_args(line.split())
    assert (args.camera, args.words) == (camera, rest)


@pytest.mark.parametrize("line", ["--camera", "--camera --words", "--camera=1,2,3 -30,15,40", "-30,15,40"])
def test_numbers_below_zero_hide_no_mistake(line):
    parser = Parser.of("run", "make")
    parser.add_argument("--camera")
    with pytest.raises(Prior3dError):
        parser.parse_args(line.split())


def test_cameras_are_read_as_the_stage_reads_them(tmp_path):
    from stages.artifacts.texts import load_camera_text

    def answer(look, *words):
        try:
            look(*words)
        except Prior3dError as error:
            return str(error)
        return ""

    place = tmp_path / "camera.txt"
    for text in ("0,15,40", "-30,15,40", "400,90,120", " 1, 2, 3 ", "0,0", "1,2,3,4", "a,b,c", "0,91,40", "0,0,0.5",
                 "0,0,121", "nan,0,40", "0,nan,40", "0,0,nan", f"{math.inf},0,40", ",,"):  # fmt: skip
        place.write_text(text)
        assert answer(check_camera, text.strip()) == answer(load_camera_text, place), text
