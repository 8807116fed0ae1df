"""Licences of inputs as their files state them, and the source type that follows from what a run was given."""

from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from flows.engine.licences import EMBEDDED, EXIF_COPYRIGHT, licences, prior_licence
from flows.provenance.statement import SOURCE_TYPES, carrying, read_statement, source_type
from tests.flows.provenance.test_containers import files


def stated(path):
    """The licence of one file or folder that a run was given."""
    return licences({"image": {"file": "inputs/image"}}, {"image": path}, {}).get("image", "")


def image(path, **options):
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(path, **options)
    return path


def test_an_image_states_its_copyright_in_each_format(tmp_path):
    exif = Image.Exif()
    exif[EXIF_COPYRIGHT] = "(c) Ann,   CC BY 4.0"
    for name in ("a.jpg", "a.jpeg", "a.webp", "a.tif", "a.tiff", "a.png"):
        assert stated(image(tmp_path / name, exif=exif)) == "(c) Ann, CC BY 4.0", name
    text = PngInfo()
    text.add_text("Copyright", "Bob")
    assert stated(image(tmp_path / "b.png", pnginfo=text)) == "Bob"
    assert stated(image(tmp_path / "c.png")) == ""
    (tmp_path / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert stated(tmp_path / "d.png") == ""


def test_a_file_beside_an_input_goes_before_what_is_in_it(tmp_path):
    text = PngInfo()
    text.add_text("Copyright", "Bob")
    place = image(tmp_path / "mug.png", pnginfo=text)
    (tmp_path / "mug.png.license").write_text("\n  CC0-1.0\nmore\n")
    assert stated(place) == "CC0-1.0"
    (tmp_path / "ball.obj").write_text("v 0 0 0\n")
    assert stated(tmp_path / "ball.obj") == ""
    (tmp_path / "ball.obj.license").write_text("MIT\n")
    assert stated(tmp_path / "ball.obj") == "MIT"


def test_a_glb_states_its_copyright(tmp_path):
    def with_copyright(tree):
        tree["asset"]["copyright"] = "Carl"

    mesh = trimesh.creation.box()
    (tmp_path / "a.glb").write_bytes(trimesh.exchange.gltf.export_glb(mesh.scene(), tree_postprocessor=with_copyright))
    assert stated(tmp_path / "a.glb") == "Carl"
    (tmp_path / "b.glb").write_bytes(mesh.export(file_type="glb"))
    assert stated(tmp_path / "b.glb") == ""
    (tmp_path / "c.glb").write_bytes(b"glTF\2\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffJSON{")
    assert stated(tmp_path / "c.glb") == ""


@pytest.mark.parametrize("name", ["LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING"])
def test_a_folder_states_its_licence(tmp_path, name):
    assert stated(tmp_path) == ""
    (tmp_path / name).write_text("The BSD licence\n\nCopyright ...\n")
    assert stated(tmp_path) == "The BSD licence"
    (tmp_path / "README.md").write_text("---\ntags: [a]\nlicense: 'openrail'\n---\n# A prior\n")
    assert stated(tmp_path) == "openrail"


def test_a_prior_states_its_licence(tmp_path):
    (tmp_path / "LICENSE").write_text("L" * 300)
    assert prior_licence("mine", {"mine": str(tmp_path)}) == "L" * 200
    assert prior_licence("toy", {}) == EMBEDDED and prior_licence("of somebody else", {}) == ""


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"prompt": {"sha256": "1"}, "prior": {"digest": "2"}}, "trainedAlgorithmicMedia"),
        ({"image": {"md5": "1"}, "prior": {"digest": "2"}}, "compositeWithTrainedAlgorithmicMedia"),
        ({"scene": {"md5": "1"}}, ""),
        ({"scene": {"md5": "1"}, "scorer": {"digest": "2"}}, ""),  # it judges, and makes nothing
    ],
)
def test_the_source_type_is_of_what_was_given(inputs, expected, tmp_path):
    inputs = {name: entry | ({} if "digest" not in entry else {"sha256": "3"}) for name, entry in inputs.items()}
    made_by = source_type(SimpleNamespace(inputs=inputs), set(inputs))
    assert made_by == (f"{SOURCE_TYPES}{expected}" if expected else "")
    said = {"format": 1, "run": "mug", "method": "m", "file": "mesh", "md5": "0", "packages": {}, "prompt": "a mug"}
    said |= {"digital_source_type": made_by} if made_by else {}
    for name, content in files(tmp_path).items():
        carried = carrying(name, content, said)
        assert read_statement(carried) == (content, said), name
        if not expected:
            assert b"algorithmic" not in carried.lower(), name
        elif name in ("mesh.png", "turntable.mp4"):  # in XMP too, where other programs look for it
            assert f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPES}{expected}"'.encode() in carried, name
