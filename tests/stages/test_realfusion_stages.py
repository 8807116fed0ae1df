"""textual_inversion and image_nerf on a tiny random prior: artifacts, resume, messages, the concept in other stages."""

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.errors import Prior3dError
from prior3d.images.object_image import ObjectImage as Picture
from prior3d.images.object_image import Viewpoint
from prior3d.reconstruction import single_image
from stages.artifacts.base import load_metrics
from stages.artifacts.fields import load_field
from stages.artifacts.images import save_object_image
from stages.artifacts.priors import load_concept
from stages.contract.entry import execute
from tests.breaking_off import stop_at
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

INVERSION = {"steps": 6, "batch": 2, "initializer_token": "ball", "num_vectors": 2}
NERF = {
    "steps": 4,
    "refreshing.steps": 6,
    "n_samples": 12,
    "field.grid_resolutions": [5, 9, 17],
    "views.per_step": 1,
    "sds.image_size": 16,
    "reference.rays_per_step": 64,
    "refresh.rays_per_step": 64,
    "refresh.n_views": 4,
    "refresh.strengths": [0.4, 0.2],
    "refresh.num_inference_steps": 2,
}
INVERTED = ["--image", "picture", "--prior", "inputs/prior.json"]
RECONSTRUCTED = [*INVERTED, "--concept", "textual_inversion"]


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", camera=True, prediction_type="v_prediction")


def make_run(folder, prior, inversion=(), nerf=(), **others):
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    params = {"textual_inversion": nested(INVERSION | dict(inversion)), "image_nerf": nested(NERF | dict(nerf))} | {
        stage: nested(values) for stage, values in others.items()
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    y, x = np.mgrid[:32, :32] + 0.5
    rgba = np.zeros((32, 32, 4), np.float32)
    rgba[(y - 16) ** 2 + (x - 16) ** 2 < 81] = (0.8, 0.2, 0.2, 1)
    depth = ((y - 16) ** 2 + (x - 16) ** 2).astype(np.float32) / 512
    (folder / "picture").mkdir()
    save_object_image(folder / "picture", Picture(rgba, Viewpoint(30, 15, 40, 3.2), depth))
    return folder


def said(capfd, stage, arguments, folder):
    assert execute(f"stages.{stage}", arguments, folder) == 2
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    return error


@pytest.mark.slow
def test_both_stages_resume_bit_identically(tmp_path, prior, monkeypatch):
    whole, broken = (
        make_run(
            tmp_path / name, prior, nerf={"reference.depth_weight": 0.5, "mirror.weight": 0.5, "mirror.min_iou": 0.0}
        )
        for name in ("whole", "broken")
    )
    for stage, arguments, file, step in (
        ("textual_inversion", INVERTED, "concept.safetensors", 5),
        ("image_nerf", RECONSTRUCTED, "field.safetensors", 8),
    ):
        assert execute(f"stages.{stage}", arguments, whole) == 0
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            assert execute(f"stages.{stage}", arguments, broken) == 1
        assert list((broken / ".work" / stage).glob("*/checkpoint.safetensors"))
        assert execute(f"stages.{stage}", arguments, broken) == 0
        assert (broken / stage / file).read_bytes() == (whole / stage / file).read_bytes()
        assert (whole / stage / "preview.png").read_bytes().startswith(b"\x89PNG")
    concept = load_concept(whole / "textual_inversion")
    assert concept.token == "<object>" and concept.initializer_token == "ball" and concept.embeddings.shape == (2, 16)
    assert load_field(whole / "image_nerf").config.head == "rgb"
    assert load_metrics(whole / "image_nerf")["reference_psnr"]["value"] > 5


AS_THE_PAPERS = {
    "refreshing.steps": 0,
    "background": "learned",
    "normals.shading.textureless": 0.5,
    "normals.shading.lambertian": 0.5,
    "views.hemisphere": 0.5,
    "prompting.name_background": False,
    "reference.loss": "squared",
    "reference.alone_every": 2,
    "sds.views_at_once": 1,
}


@pytest.mark.parametrize(
    "nerf",
    [
        {"sds.weight": 0.0, "refreshing.steps": 0},
        {"refreshing.steps": 0},
        {"steps": 0, "refreshing.steps": 4},
        AS_THE_PAPERS,
    ],
)
def test_image_nerf_without_a_word_without_the_prior_and_as_the_paper(tmp_path, prior, nerf):
    nerf = {"prompting.template": "a red {}", "prompting.generic": "ball"} | nerf
    folder = make_run(tmp_path / "run", prior, nerf=nerf)
    assert execute("stages.image_nerf", INVERTED, folder) == 0
    assert load_metrics(folder / "image_nerf")["unknown_words"]["value"] == 0


def test_the_mirror_image_stays_where_the_field_agrees(tmp_path, prior, capfd):
    fields = {}
    for name, nerf in (
        ("without", {}),
        ("always", {"mirror.weight": 0.5, "mirror.min_iou": 0.0}),
        ("at first", {"mirror.weight": 0.5, "mirror.min_iou": 1.0}),
    ):
        folder = make_run(tmp_path / name, prior, nerf=nerf)
        assert execute("stages.image_nerf", INVERTED, folder) == 0
        fields[name] = (folder / "image_nerf" / "field.safetensors").read_bytes()
    assert len(set(fields.values())) == 3
    assert capfd.readouterr().out.count("mirror image was left out") == 1
    assert 0 < load_metrics(tmp_path / "always" / "image_nerf")["mirror_iou"]["value"] < 1


def test_the_word_begins_as_it_is_told_and_moves(tmp_path, prior):
    folder = make_run(tmp_path / "run", prior, {"steps": 3, "num_vectors": 1})
    assert execute("stages.textual_inversion", INVERTED, folder) == 0
    start = make_run(tmp_path / "start", prior, {"steps": 0, "num_vectors": 1})
    assert execute("stages.textual_inversion", INVERTED, start) == 0
    moved, begun = (load_concept(f / "textual_inversion").embeddings for f in (folder, start))
    embeddings = load_file(prior / "text_encoder" / "model.safetensors")
    table = next(t for name, t in embeddings.items() if name.endswith("token_embedding.weight"))
    assert (table == begun).all(-1).any() and not torch.equal(moved, begun)


def test_the_released_code_names_the_front_in_nine_of_ten_steps_and_shakes_those_rays(tmp_path, prior, monkeypatch):
    told, shaken = [], []
    predict, render_rays = ViewSampler.predict, single_image.render_rays

    def listen(views, batch, noisy, timesteps):
        told.append(batch.conditioning.text)
        return predict(views, batch, noisy, timesteps)

    def watch(field, origins, directions, *rest):
        if len(origins) == 16 * 16:  # a whole view; the image gives 64 rays
            shaken.append(origins[0].clone())
            assert torch.equal(origins, origins[:1].expand(256, 3))  # one shake a view, not a ray
            torch.testing.assert_close(directions.norm(dim=-1), torch.ones(256))
        return render_rays(field, origins, directions, *rest)

    monkeypatch.setattr(ViewSampler, "predict", listen)
    monkeypatch.setattr(single_image, "render_rays", watch)
    for name, azimuth_deg, released in (("back", 180, False), ("released", 180, True), ("front", 0, False)):
        nerf = {
            "refreshing.steps": 0,
            "views.azimuth_deg": [azimuth_deg] * 2,
            "prompting.match_released_code": released,
        }
        folder = make_run(tmp_path / name, prior, nerf=nerf | {"prompting.template": "a ball"})
        assert execute("stages.image_nerf", INVERTED, folder) == 0
    back, released, front = told[:4], told[4:8], told[8:]
    assert torch.equal(released[0], back[0]) and not torch.equal(back[0], front[0])
    assert all(torch.equal(released[step], front[step]) for step in (1, 2, 3))
    away = torch.stack(shaken).norm(dim=-1) - torch.tensor(3.2)
    assert len(shaken) == 3 and (away.abs() > 0).all() and (away.abs() < 0.1).all()


def test_the_released_code_shows_the_encoder_the_upper_half_of_the_range(tmp_path, prior, monkeypatch):
    darkest = {False: [], True: []}
    encode = LatentDiffusion.encode
    for released, seen in darkest.items():
        monkeypatch.setattr(
            LatentDiffusion,
            "encode",
            lambda prior, images, generator=None, seen=seen: (seen.append(images.min()), encode(prior, images))[1],
        )
        folder = make_run(tmp_path / str(released), prior, {"steps": 1, "match_released_code": released})
        assert execute("stages.textual_inversion", INVERTED, folder) == 0
    assert min(darkest[False]) < 0.3 and min(darkest[True]) >= 0.5


def test_messages_of_the_inversion(tmp_path, prior, capfd):
    for place, (change, expected) in enumerate(
        (
            ({"initializer_token": ""}, "there is no scorer to choose one; name a word"),
            ({"initializer_token": "elephant"}, "must be one known word"),
            ({"token": "object"}, "between angle brackets"),
            ({"prompting.templates": ["a picture"]}, "must hold {} once"),
        )
    ):
        folder = make_run(tmp_path / str(place), prior, change)
        assert expected in said(capfd, "textual_inversion", INVERTED, folder)


def test_a_concept_in_a_method_from_words(tmp_path, prior, capfd):
    coarse = {"steps": 2, "n_samples": 8, "field.grid_resolutions": [5], "views.per_step": 1}
    folder = make_run(tmp_path / "run", prior, {"steps": 0}, coarse_nerf=coarse)
    assert execute("stages.textual_inversion", INVERTED, folder) == 0
    words = ["--prompt", "inputs/prompt.txt", "--prior", "inputs/prior.json", "--concept", "textual_inversion"]
    (folder / "inputs" / "prompt.txt").write_text("a red ball\n")
    assert "does not hold the concept's word" in said(capfd, "coarse_nerf", words, folder)
    (folder / "inputs" / "prompt.txt").write_text("a red <object>\n")
    assert execute("stages.coarse_nerf", words, folder) == 0


def test_concepts_of_earlier_versions_load(tmp_path, prior):
    folder = make_run(tmp_path / "run", prior, {"steps": 0})
    assert execute("stages.textual_inversion", INVERTED, folder) == 0
    path = folder / "textual_inversion" / "concept.json"
    facts = json.loads(path.read_text())
    assert facts["initializer_token"] == "ball"
    path.write_text(json.dumps({"initial_word" if k == "initializer_token" else k: v for k, v in facts.items()}))
    assert load_concept(path.parent).initializer_token == "ball"


def test_a_damaged_concept(tmp_path, prior):
    folder = make_run(tmp_path / "run", prior, {"steps": 0})
    assert execute("stages.textual_inversion", INVERTED, folder) == 0
    place = folder / "textual_inversion"
    facts = (place / "concept.json").read_text()
    (place / "concept.json").write_text("{}")
    with pytest.raises(Prior3dError, match="'token' is missing"):
        load_concept(place)
    (place / "concept.json").write_text(facts)
    save_file({"rows": torch.full((1, 16), float("nan"))}, place / "concept.safetensors")
    with pytest.raises(Prior3dError, match="not finite"):
        load_concept(place)
    (place / "concept.safetensors").write_bytes(b"no")
    with pytest.raises(Prior3dError, match="damaged"):
        load_concept(place)
