"""What stages hand to each other: the kinds of artifact, named without loading the code that reads them.

A stage's declaration says `INPUTS = {"field": FIELD}`. The modules of this package read, write and check each kind, and
import torch and friends; a stage's body imports the functions that it needs from there.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Artifact"]


@dataclass(frozen=True)
class Artifact:
    """A kind of artifact.

    Attributes:
        name: what help texts call it.
        check: `module:function` under this package; the function takes a path and raises Prior3dError.
        forms: kinds that serve in its place, such as a textured mesh where a paintable one is asked for.
        holds: kinds that lie in the same folder and are checked too.
    """

    name: str
    check: str
    forms: tuple[Artifact, ...] = ()
    holds: tuple[Artifact, ...] = ()

    def validate(self, path: Path) -> None:
        """Load the artifact at a path and check that it is whole.

        Raises:
            Prior3dError: it is missing, damaged or holds values that no stage can use.
        """
        module, _, function = self.check.partition(":")
        getattr(importlib.import_module(f"{__name__}.{module}"), function)(path)
        for kind in self.holds:
            kind.validate(path)

    def accepts(self, other: Artifact) -> bool:
        """Whether an artifact of another kind can be given where this kind is asked for."""
        return self == other or other in self.forms


PROMPT = Artifact("Prompt", "texts:check_prompt")
CAMERA_TEXT = Artifact("CameraText", "texts:check_camera_text")
PRIOR = Artifact("Prior", "priors:check_prior")
CONCEPT = Artifact("Concept", "priors:check_concept")
FIELD = Artifact("Field", "fields:check_field")
SPLAT_FILE = Artifact("SplatFile", "splat_files:check_splat_file")
MESH_FILE = Artifact("MeshFile", "meshes:check_mesh_file")
MESH = Artifact("Mesh", "meshes:check_mesh")
TEXTURED_MESH = Artifact("TexturedMesh", "meshes:check_textured_mesh")
UV_MESH = Artifact("UvMesh", "meshes:check_uv_mesh")
PAINTABLE_MESH = Artifact("PaintableMesh", "meshes:check_paintable_mesh", forms=(UV_MESH, TEXTURED_MESH))
SHAPE_GUIDE = Artifact("ShapeGuide", "shape_guide:load_shape_guide", holds=(MESH,))
LATENT_TEXTURE = Artifact("LatentTexture", "textures:check_latent_texture")
PARTIAL_TEXTURE = Artifact("PartialTexture", "textures:check_partial_texture")
IMAGE_FILE = Artifact("ImageFile", "images:check_image_file")
CAPTIONED_IMAGE = Artifact("CaptionedImage", "captions:check_captioned_image")
CAPTION = Artifact("Caption", "captions:check_caption", forms=(CAPTIONED_IMAGE,))
OBJECT_IMAGE = Artifact("ObjectImage", "images:check_object_image", forms=(CAPTIONED_IMAGE,))
POSED_CAPTURE = Artifact("PosedCapture", "capture:check_posed_capture")
CAPTURE_FOLDER = Artifact("CaptureFolder", "capture:check_capture_folder", forms=(POSED_CAPTURE,))
PHOTO_FOLDER = Artifact("PhotoFolder", "capture:check_photo_folder")
POSED_IMAGES = Artifact("PosedImages", "capture:check_posed_images")
SYMMETRY = Artifact("Symmetry", "symmetry:check_symmetry")
VIEW_FEATURES = Artifact("ViewFeatures", "view_features:check_view_features")
DRAWN_VIEWS = Artifact("DrawnViews", "drawn_views:check_drawn_views")
SAMPLES = Artifact("Samples", "renders:check_samples")
RENDERS = Artifact("Renders", "renders:check_renders")
PATH_RENDERS = Artifact("PathRenders", "renders:check_path_renders")
RENDERED_DATASET = Artifact("RenderedDataset", "datasets:check_rendered")
EDIT_DATASET = Artifact("EditDataset", "datasets:check_edits")
AUTOENCODER_FOLDER = Artifact("AutoencoderFolder", "datasets:check_autoencoder")
TEXT_TO_IMAGE_FOLDER = Artifact("TextToImageFolder", "datasets:check_text_to_image")
SCORER_FOLDER = Artifact("ScorerFolder", "datasets:check_scorer")
JOINT_VIEWS_FOLDER = Artifact("JointViewsFolder", "datasets:check_joint_views")
