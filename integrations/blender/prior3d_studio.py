"""Blender's door to prior3d: a panel asks a running `prior3d studio` for an object, and its GLB comes into the scene.

Requests go to studio's HTTP door, in a thread. Studio checks everything; what is wrong is one line, which is shown.
"""

import json
import queue
import struct
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from mathutils import Vector

bl_info = {
    "name": "prior3d studio",
    "description": "Textured objects from a sentence or an image, made by a running prior3d studio",
    "blender": (4, 2, 0),
    "version": (0, 1, 0),
    "category": "Add Mesh",
    "location": "3D View > Sidebar > prior3d",
}
POLL_S, TIMEOUT_S = 1.0, 60.0
AT_WORK = ("waiting", "running", "stopping")
METHODS = [(name, name, "") for name in ("quick", "latent-nerf", "realfusion", "make-it-3d")]


class StudioError(Exception):
    """One line about what is wrong."""


class Studio:
    """The HTTP door of studio, opened with the address that `prior3d studio` printed."""

    def __init__(self, address):
        parts = urllib.parse.urlsplit(address.strip())
        if parts.hostname not in ("127.0.0.1", "localhost") or "token=" not in parts.query:
            raise StudioError("paste the address that `prior3d studio` printed into the add-on's preferences")
        self._base = f"{parts.scheme}://{parts.netloc}"
        direct, cookies = urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(direct, cookies)
        self.ask("GET", f"/?{parts.query}")

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
                said = "studio refuses this address; paste the one that it printed last" if error.code == 403 else error
            raise StudioError(str(said)) from None
        except (OSError, ValueError) as error:
            raise StudioError(f"studio does not answer ({error}); start it: prior3d studio") from None

    def values(self, method, path, form=None):
        """JSON of an answer (raises StudioError)."""
        return json.loads(self.ask(method, path, None if form is None else json.dumps(form).encode()))

    def start(self, method, prompt, image):
        """Ask for a run; the job."""
        inputs = {"prompt": prompt} if prompt else {}
        if image:
            try:
                content = Path(image).read_bytes()
            except OSError as error:
                raise StudioError(f"the image cannot be read: {error.strerror or error}") from None
            name = urllib.parse.quote(Path(image).name)
            inputs["image"] = json.loads(self.ask("PUT", f"/api/files/image?name={name}", content))
        start = "image" if image else "prompt"
        return self.values("POST", "/api/jobs", {"method": method, "start": start, "inputs": inputs})

    def make(self, method, prompt, image, tell):
        """Ask for a run, wait for its end, and return its name and GLB; `tell` hears how it goes."""
        job = self.start(method, prompt, image)
        while job["state"] in AT_WORK:
            stages = [stage for stage in job["stages"] if stage["state"] == "running"]
            tell(f"{job['run']}: " + (stages[0]["name"].replace("_", " ") if stages else job["state"]))
            time.sleep(POLL_S)
            job = next((each for each in self.values("GET", "/api/jobs") if each["id"] == job["id"]), None)
            if job is None:
                raise StudioError("the job was removed from studio's queue")
        if job["state"] != "done":
            raise StudioError(f"{job['run']} {job['state']}: {job['message']}")
        return job["run"], self.glb(job["run"])

    def glb(self, run):
        """The mesh of a run."""
        return self.ask("GET", f"/runs/{urllib.parse.quote(run)}/mesh.glb")


def origin_of(glb):
    """What a GLB says of where it came from; empty if it says nothing."""
    try:
        length = struct.unpack_from("<I", glb, 12)[0]
        described = json.loads(glb[20 : 20 + length])
        return described.get("asset", {}).get("extras", {})
    except (struct.error, ValueError, AttributeError):
        return {}


def place(run, glb):
    """Put a GLB into the scene, standing on the 3D cursor; the objects, which know their run."""
    before = set(bpy.data.objects)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mesh.glb"
        file.write_bytes(glb)
        bpy.ops.import_scene.gltf(filepath=str(file))
    found = [each for each in bpy.data.objects if each not in before]
    roots = [each for each in found if each.parent not in found]
    bpy.context.view_layer.update()
    corners = [each.matrix_world @ Vector(corner) for each in found if each.type == "MESH" for corner in each.bound_box]
    lowest = min((corner.z for corner in corners), default=0.0)
    origin = json.dumps(origin_of(glb))
    for each in roots:
        each.location += bpy.context.scene.cursor.location - Vector((0, 0, lowest))
        each.name = run
    for each in found:
        each["prior3d_run"], each["prior3d_origin"] = run, origin
    return found


class Work:
    """The one request that goes on: a thread works, Blender's timer takes what it leaves."""

    status = ""
    thread = None
    left = queue.Queue()

    @classmethod
    def begin(cls, work):
        """Do something in a thread; it gives a run's name and GLB."""

        def carry_out():
            try:
                cls.left.put(work())
            except StudioError as error:
                cls.left.put(error)

        cls.thread = threading.Thread(target=carry_out, daemon=True)
        cls.thread.start()
        bpy.app.timers.register(cls.take)

    @classmethod
    def take(cls):
        """Blender's timer: seconds until the next look, or None at the end."""
        try:
            result = cls.left.get_nowait()
        except queue.Empty:
            return 0.5 if cls.thread is not None and cls.thread.is_alive() or not cls.left.empty() else None
        cls.thread = None
        if isinstance(result, StudioError):
            cls.status = str(result)
        else:
            place(*result)
            cls.status = f"{result[0]} is in the scene"
        return None


class Prior3dPreferences(bpy.types.AddonPreferences):
    """Where studio is."""

    bl_idname = __name__
    address: StringProperty(name="Address", description="what `prior3d studio` printed, with its token")

    def draw(self, context):  # noqa: D102
        self.layout.prop(self, "address")


def begin(context, work):
    """Begin some work with studio."""
    address = context.preferences.addons[__name__].preferences.address
    Work.status = "asking studio"
    Work.begin(lambda: work(Studio(address)))
    return {"FINISHED"}


class PRIOR3D_OT_make(bpy.types.Operator):
    """Make an object by prior3d studio, and put it into the scene"""

    bl_idname, bl_label = "prior3d.make", "Make"

    def execute(self, context):  # noqa: D102
        scene = context.scene
        asked = scene.prior3d_method, scene.prior3d_prompt, bpy.path.abspath(scene.prior3d_image)
        return begin(context, lambda studio: studio.make(*asked, lambda text: setattr(Work, "status", text)))


class PRIOR3D_OT_fetch(bpy.types.Operator):
    """Put the mesh of a run that is there into the scene"""

    bl_idname, bl_label = "prior3d.fetch", "Fetch"

    def execute(self, context):  # noqa: D102
        run = context.scene.prior3d_run
        return begin(context, lambda studio: (run, studio.glb(run)))


class PRIOR3D_PT_panel(bpy.types.Panel):
    """The panel in the sidebar."""

    bl_label, bl_space_type, bl_region_type, bl_category = "prior3d", "VIEW_3D", "UI", "prior3d"

    def draw(self, context):  # noqa: D102
        free = self.layout.column()
        free.enabled = Work.thread is None
        for name in ("prior3d_method", "prior3d_prompt", "prior3d_image"):
            free.prop(context.scene, name)
        free.operator(PRIOR3D_OT_make.bl_idname)
        row = free.row()
        row.prop(context.scene, "prior3d_run")
        row.operator(PRIOR3D_OT_fetch.bl_idname)
        if Work.status:
            self.layout.label(text=Work.status)


CLASSES = (Prior3dPreferences, PRIOR3D_OT_make, PRIOR3D_OT_fetch, PRIOR3D_PT_panel)
PROPERTIES = {
    "prior3d_method": EnumProperty(name="Method", items=METHODS),
    "prior3d_prompt": StringProperty(name="In words"),
    "prior3d_image": StringProperty(name="Image", subtype="FILE_PATH"),
    "prior3d_run": StringProperty(name="Run"),
}


def register():
    """Blender calls it when the add-on is switched on."""
    for each in CLASSES:
        bpy.utils.register_class(each)
    for name, kind in PROPERTIES.items():
        setattr(bpy.types.Scene, name, kind)


def unregister():
    """Blender calls it when the add-on is switched off."""
    for name in PROPERTIES:
        delattr(bpy.types.Scene, name)
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
