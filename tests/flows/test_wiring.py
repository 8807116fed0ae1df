"""Every method: what its stages are handed is what they ask for, and every prior is asked for its role."""

from itertools import chain, combinations

import numpy as np
import pytest

from flows import inputs
from flows.engine.method import Input
from flows.engine.parameters import resolve
from flows.methods import METHODS
from prior3d.images.files import png_bytes
from stages.artifacts import (
    CAMERA_TEXT,
    CAPTURE_FOLDER,
    CONCEPT,
    IMAGE_FILE,
    MESH_FILE,
    PHOTO_FOLDER,
    PRIOR,
    PROMPT,
    SPLAT_FILE,
)

# What a method's input is, by its name, as an artifact of the stage that takes it.
TAKEN_AS = {
    PROMPT: {"prompt", "instruction"},
    CAMERA_TEXT: {"camera"},
    CONCEPT: {"concept"},
    IMAGE_FILE: {"image", "mask", "depth", "normal"},
    MESH_FILE: {"mesh", "shape"},
    SPLAT_FILE: {"splats"},
    CAPTURE_FOLDER: {"scene", "images"},
    PHOTO_FOLDER: {"photos"},
    PRIOR: {"prior", "inpainting_prior", "joint_prior", "scorer"},
}
# The role in which a stage loads a prior; `text_to_image` where nothing is said.
ROLES = {
    ("stages.inpainting", "prior"): "inpainting",
    ("stages.dataset_update", "prior"): "instruct",
    ("stages.view_features", "prior"): "views",
    ("stages.view_sampling", "prior"): "views",
    ("stages.textual_inversion", "scorer"): "scorer",
    ("stages.image_nerf", "scorer"): "scorer",
    ("stages.captioning", "prior"): "joint_views",
    ("stages.captioning", "scorer"): "scorer",
    ("stages.image_captioning", "prior"): "joint_views",
    ("stages.image_captioning", "scorer"): "scorer",
    ("stages.joint_views", "prior"): "joint_views",
    ("stages.coarse_nerf", "joint_prior"): "joint_views",
}


def roles_of(method):
    """The roles of the prior that decides about a method's stages; "" where none does."""
    deciding = method.role_input()
    return ["", *deciding.other_roles] if deciding else [""]


def forms():
    """Every method with every choice of its optional stages, of the inputs that bring stages, and of its prior."""
    for name, method, role in ((n, m, r) for n, m in METHODS.items() for r in roles_of(m)):
        optional = [*method.optional_stages(), *dict.fromkeys(i for s in method.stages for i in s.brought_by)]
        for asked in chain.from_iterable(combinations(optional, n) for n in range(len(optional) + 1)):
            stages = set(asked) | method.stages_brought_by(asked) | method.stages_for(role)
            yield pytest.param(method.with_stages(stages), id="+".join([name, *filter(None, [role]), *asked]))


@pytest.mark.parametrize("method", forms())
def test_every_stage_is_handed_what_it_asks_for(method):
    given = {i.name: i for i in method.inputs}
    made = {}
    for stage in method.stages:
        module = stage.load()
        optional = getattr(module, "OPTIONAL_INPUTS", frozenset())
        assert stage.inputs.keys() <= module.INPUTS.keys()
        assert module.INPUTS.keys() - optional <= stage.inputs.keys()
        for name, source in stage.inputs.items():
            wanted = module.INPUTS[name]
            where = f"{method.name}, {stage.name}.{name}: {wanted.name} from {source}"
            if source in made:
                assert wanted.accepts(made[source]), f"{where}, a {made[source].name}"
            else:
                assert source in TAKEN_AS[wanted], where
                only_one = set(method.one_of) & given.keys() == {source}  # a run without it is refused
                always = given[source].default != "" or source in stage.brought_by or only_one
                assert always or name in optional, f"{where}, which may be left out"
        made[stage.name] = module.OUTPUT


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_methods_presets_are_valid_parameters_of_its_stages(method):
    names = {stage.name for stage in method.stages}
    for preset, stages in method.presets.items():
        assert stages.keys() <= names, preset
        resolve(method, preset, None, [])


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_prior_is_asked_for_the_role_in_which_it_is_loaded(method):
    given = {i.name: i for i in method.inputs}
    for stage in method.stages:
        for name, source in stage.inputs.items():
            if source in given and given[source].kind == "prior":
                roles = {given[source].role, *given[source].other_roles}
                if stage.for_role or len(roles) == 1:  # a stage that takes any of several roles asks which it has
                    wanted = ROLES.get((stage.module, name), "text_to_image")
                    assert wanted in roles and (name != "prior" or stage.for_role in ("", wanted)), (stage.name, name)


def test_a_prior_of_several_roles_decides_which_stages_there_are():
    method = METHODS["sparsefusion"]
    names = {role: {s.name for s in method.with_stages(method.stages_for(role)).stages} for role in ("", "views")}
    assert names[""] - names["views"] == {"captioning", "joint_views"}
    assert names["views"] - names[""] == {"view_features", "view_sampling"}
    assert method.with_stages(names["views"]).stages == method.with_stages(method.stages_for("views")).stages
    assert {s.for_role for s in method.stages} - {""} == {method.role_input().role, *method.role_input().other_roles}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_inputs_are_declared_once_and_all_taken(method):
    declared = [value for value in vars(inputs).values() if isinstance(value, Input)]
    assert all(i in declared for i in method.inputs)
    taken = {source for stage in method.stages for source in (*stage.inputs.values(), stage.otherwise)}
    assert {i.name for i in method.inputs} <= taken


WRONG = {"text_to_image": "toy-inpainting", "inpainting": "toy", "instruct": "toy-views", "views": "toy-instruct",
         "joint_views": "toy-instruct", "scorer": "toy"}  # fmt: skip


CONTENTS = {".png": png_bytes(np.full((8, 8, 4), 0.5, np.float32)), ".obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"}


@pytest.mark.parametrize(
    ("name", "given"), [(m.name, i) for m in METHODS.values() for i in m.inputs if i.kind == "prior"],
    ids=lambda value: getattr(value, "name", value),
)  # fmt: skip
def test_prior_of_another_role_is_refused_before_anything_is_written(fake, tmp_path, name, given):
    files = {"file": tmp_path / "file", "folder": tmp_path / "folder"}
    files["folder"].mkdir()
    words = []
    for other in (i for i in METHODS[name].inputs if i.default is None):
        path = files.get(other.kind, "0,0,40")
        if other.kind == "file":
            path = path.with_suffix(other.suffixes[0])
            path.write_bytes(CONTENTS[path.suffix])
        words += [f"--{other.name}", str(path)]
    asked = {"realfusion": ["--set", "inpainting=on"], "quick": ["--image", str(files["file"].with_suffix(".png"))]}
    asked["instruct-nerf2nerf"] = ["--scene", str(files["folder"])]
    files["file"].with_suffix(".png").write_bytes(CONTENTS[".png"])
    option = f"--{given.name.replace('_', '-')}"
    code, _, err = fake.cli("run", name, *words, *asked.get(name, []), option, WRONG[given.role])
    assert code == 2 and len(err.splitlines()) == 1
    assert WRONG[given.role] in err and not list((fake.project / "data" / "runs").iterdir())
