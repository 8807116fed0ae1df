"""ComfyUI's door to prior3d: a node asks a running `prior3d studio` for an object, and hands on its GLB.

The folder goes into ComfyUI's `custom_nodes`. Requests go to studio's HTTP door. The token never gets into a workflow:
the node reads it from the project in which studio runs. Studio checks everything; what is wrong is one line, which
ComfyUI shows.
"""

import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import numpy as np
from PIL import Image

POLL_S, TIMEOUT_S = 1.0, 60.0
AT_WORK = ("waiting", "running", "stopping")
METHODS = ("quick", "latent-nerf", "realfusion", "make-it-3d")


class StudioError(Exception):
    """One line about what is wrong."""


class Studio:
    """The HTTP door of the studio of a project on this machine."""

    def __init__(self, project):
        place = Path(project.strip()).expanduser() / ".prior3d" / "studio" / "address.json"
        try:
            known = json.loads(place.read_text())
            self._base, token = f"http://127.0.0.1:{int(known['port'])}", str(known["token"])
        except (OSError, ValueError, KeyError, TypeError):
            raise StudioError(
                f"no studio has run in {project or 'a folder without a name'}; there: prior3d studio"
            ) from None
        direct, cookies = urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(direct, cookies)
        self.ask("GET", f"/?token={urllib.parse.quote(token)}")

    def ask(self, method, path, content=None):
        """The bytes of an answer (raises StudioError)."""
        asked = urllib.request.Request(self._base + path, data=content, method=method)
        try:
            with self._opener.open(asked, timeout=TIMEOUT_S) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            try:
                said = json.loads(error.read())["problem"]
            except (ValueError, KeyError, TypeError):
                said = {
                    403: "studio refuses; start it again there: prior3d studio",
                    404: "studio has nothing of this name",
                }
                said = said.get(error.code, error)
            raise StudioError(str(said)) from None
        except (OSError, ValueError) as error:
            raise StudioError(f"studio does not answer ({error}); start it in the project: prior3d studio") from None

    def values(self, method, path, form=None):
        """JSON of an answer (raises StudioError)."""
        return json.loads(self.ask(method, path, None if form is None else json.dumps(form).encode()))

    def make(self, form, image, tell):
        """Ask for a run, wait for its end, and return its name; `tell` hears how it goes, and may raise to stop it."""
        if image is not None:
            form["inputs"]["image"] = json.loads(self.ask("PUT", "/api/files/image?name=comfyui.png", image))
        job = self.values("POST", "/api/jobs", form)
        while job["state"] in AT_WORK:
            try:
                tell(job)
            except BaseException:  # ComfyUI interrupts by an exception of its own
                self.ask("POST", f"/api/jobs/{job['id']}/stop", b"")
                raise
            time.sleep(POLL_S)
            job = next((each for each in self.values("GET", "/api/jobs") if each["id"] == job["id"]), None)
            if job is None:
                raise StudioError("the job was removed from studio's queue")
        if job["state"] != "done":
            raise StudioError(f"{job['run']} {job['state']}: {job['message']}")
        return job["run"]

    def glb(self, run):
        """The mesh of a run."""
        return self.ask("GET", f"/runs/{urllib.parse.quote(run, safe='')}/mesh.glb")


def png_of(image, mask):
    """The first image of a batch [images, height, width, channels] in [0, 1] as PNG.

    `mask` [images, height, width] is 1 where nothing is, as Load Image gives it. A mask of zeros says nothing.
    """
    values = np.asarray(image[0].cpu())
    if mask is not None and float(mask[0].max()) > 0:
        covered = 1 - np.asarray(mask[0].cpu())
        if covered.shape != values.shape[:2]:
            shapes = " and ".join("x".join(map(str, shape)) for shape in (covered.shape, values.shape[:2]))
            raise StudioError(f"mask and image differ in height and width: {shapes}; give both one size")
        values = np.concatenate([values[..., :3], covered[..., None]], -1)
    content = io.BytesIO()
    Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def watch():
    """Something that hears of a job, moves ComfyUI's progress bar, and raises when the person interrupts."""
    bars = []

    def tell(job):
        comfy.model_management.throw_exception_if_processing_interrupted()
        if job["stages"]:
            bars.append(bars[0] if bars else comfy.utils.ProgressBar(len(job["stages"])))
            bars[0].update_absolute(sum(stage["state"] in ("done", "unchanged", "restored") for stage in job["stages"]))

    return tell


class Prior3dMake:
    """Makes a textured object from a sentence, or from an image."""

    CATEGORY = "prior3d"
    DESCRIPTION = "A textured object from a sentence or an image, made by a running prior3d studio"
    RETURN_TYPES, RETURN_NAMES, FUNCTION, OUTPUT_NODE = ("STRING", "STRING"), ("model_file", "run"), "make", True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        """What ComfyUI asks for."""
        return {
            "required": {
                "project": ("STRING", {"default": "", "tooltip": "the folder in which `prior3d studio` runs"}),
                "method": (METHODS,),
                "prompt": ("STRING", {"default": "", "multiline": True}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 999_999_999}),
            },
            "optional": {
                "image": ("IMAGE",),
                "mask": ("MASK", {"tooltip": "1 where nothing is, as Load Image gives it"}),
                "settings": ("STRING", {"default": "", "multiline": True, "tooltip": "STAGE.NAME=VALUE, one a line"}),
            },
        }

    def make(self, project, method, prompt, seed, image=None, mask=None, settings=""):
        """Make it; the place of the GLB in ComfyUI's output folder, and the run's name."""
        studio = Studio(project)
        form = {"method": method, "seed": str(seed), "set": settings}
        form |= {
            "start": "prompt" if image is None else "image",
            "inputs": {"prompt": prompt} if prompt.strip() else {},
        }
        run = studio.make(form, None if image is None else png_of(image, mask), watch())
        return keep(run, studio.glb(run))


class Prior3dFetch:
    """Takes the mesh of a run that is there."""

    CATEGORY = "prior3d"
    DESCRIPTION = "The mesh of a run of a prior3d project"
    RETURN_TYPES, RETURN_NAMES, FUNCTION, OUTPUT_NODE = ("STRING", "STRING"), ("model_file", "run"), "fetch", True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        """What ComfyUI asks for."""
        return {"required": {"project": ("STRING", {"default": ""}), "run": ("STRING", {"default": ""})}}

    @classmethod
    def IS_CHANGED(cls, project, run):  # noqa: N802
        """A run may have another mesh than last time."""
        return time.time()

    def fetch(self, project, run):
        """Fetch it."""
        return keep(run, Studio(project).glb(run))


def keep(run, glb):
    """Write a GLB into ComfyUI's output folder, under a name that is free; where, for Preview 3D, and the run."""
    root = folder_paths.get_output_directory()
    folder, name, number, below, _ = folder_paths.get_save_image_path(f"prior3d/{run}", root)
    file = f"{name}_{number:05}_.glb"
    (Path(folder) / file).write_bytes(glb)
    place = (Path(below) / file).as_posix()
    return {"ui": {"text": [place]}, "result": (place, run)}


NODE_CLASS_MAPPINGS = {"Prior3dMake": Prior3dMake, "Prior3dFetch": Prior3dFetch}
NODE_DISPLAY_NAME_MAPPINGS = {"Prior3dMake": "prior3d: make an object", "Prior3dFetch": "prior3d: fetch a run"}
