"""What a person gives to methods: each input once, with what a prior has to serve as.

A prior of another role is refused before anything runs.
"""

from flows.engine.method import Input

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".bmp")
SPLAT_FILES = (".ply", ".spz", ".splat", ".glb")
MESHES = (".obj", ".ply", ".stl", ".glb")
FROM = "a diffusers folder, or ORG/NAME@REVISION; +FILE.safetensors adds a LoRA"

# words
PROMPT = Input("prompt", "text", "what it is, in words, e.g. 'a brown teddy bear'")
OPTIONAL_PROMPT = Input("prompt", "text", "what the image shows, in words, e.g. 'a brown teddy bear'", default="")
INSTRUCTION = Input("instruction", "text", "what to change, e.g. 'make the roof red'")
CONCEPT = Input(
    "concept",
    "folder",
    "a word that the prompt then holds: a folder of textual_inversion, or one that holds learned_embeds.safetensors",
    default="",
)

# an image of one object
IMAGE = Input("image", "file", "the image of the object; with alpha, or give --mask", suffixes=PICTURES)
OPTIONAL_IMAGE = Input(
    "image",
    "file",
    "an image of the object; with alpha, with --mask, or before a plain background",
    default="",
    suffixes=PICTURES,
)
MASK = Input("mask", "file", "image that is white where the object is", default="", suffixes=PICTURES)
DEPTH = Input("depth", "file", "depth map of the same view", default="", suffixes=PICTURES)
NORMAL = Input("normal", "file", "normal map of the same view", default="", suffixes=PICTURES)
CAMERA = Input("camera", "text", "where the image was taken from: azimuth,elevation,fov in degrees")
OPTIONAL_CAMERA = Input(
    "camera",
    "text",
    "where the image was taken from: azimuth,elevation,fov in degrees, relative to the object's front; without it the "
    "object is centred and seen from its front",
    default="",
)
NAMED_IS_KNOWN = {"caption": {"known_below": 10.0}}  # the threshold is the toy prior's; others know what a person names
FROM_AFAR = {"elevation_deg": 4.0, "fov_deg": 14.0}  # how people photograph things, where no camera is given

# shapes and captures
MESH = Input("mesh", "file", "what to paint: OBJ, PLY, STL or GLB", suffixes=MESHES)
SHAPE = Input("shape", "file", "rough shape: OBJ, PLY, STL or GLB", suffixes=MESHES)
SPLATS = Input("splats", "file", "Gaussian splats: PLY, SPZ, SPLAT or GLB", suffixes=SPLAT_FILES)
CAPTURE = Input(
    "scene",
    "folder",
    "posed images: a folder with transforms.json (nerfstudio, instant-ngp, Blender) or COLMAP's",
    default="",
    capture=True,
)
PHOTOS = Input(
    "photos", "folder", "photos without cameras: a folder of images; pycolmap finds where they were taken", default=""
)
POSED_IMAGES = Input(
    "images", "folder", "posed images: transforms.json, Blender's layout, COLMAP, or a CO3Dv2 category", capture=True
)
OPTIONAL_POSED_IMAGES = Input(
    "images",
    "folder",
    "posed images of the object: transforms.json, Blender's layout, COLMAP, or a CO3Dv2 category",
    default="",
)

# priors
PRIOR = Input("prior", "prior", f"text-to-image prior: toy, {FROM}", default="toy", role="text_to_image")
INPAINTING_PRIOR = Input(
    "inpainting_prior",
    "prior",
    f"inpainting prior: toy-inpainting, {FROM}",
    default="toy-inpainting",
    role="inpainting",
)
INSTRUCT_PRIOR = Input(
    "prior", "prior", f"instruct prior (InstructPix2Pix): toy-instruct, {FROM}", default="toy-instruct", role="instruct"
)
ANY_VIEWS_PRIOR = Input(
    "prior",
    "prior",
    "prior of views: toy-mv (joint views), toy-views (the paper's kind), or a folder of one",
    default="toy-mv",
    role="joint_views",
    other_roles=("views",),
    stored_as="views_prior",
)
JOINT_VIEWS_PRIOR = Input(
    "prior",
    "prior",
    "joint-view prior: toy-mv or a folder of one",
    default="toy-mv",
    role="joint_views",
    stored_as="views_prior",
)
UNSEEN_PRIOR = Input(
    "joint_prior",
    "prior",
    "joint-view prior that draws the sides that the image does not show: toy-mv or a folder of one",
    default="toy-mv",
    role="joint_views",
    stored_as="views_prior",
)
JOINT_PRIOR = Input(
    "joint_prior",
    "prior",
    "joint-view prior to distil in place of the prior, of the same autoencoder: toy-mv, or an MVDream folder",
    default="",
    role="joint_views",
)
SCORER = Input("scorer", "prior", "CLIP-shaped model that judges images", default="toy-scorer", role="scorer")
