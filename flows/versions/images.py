"""Images of a version, small enough to be part of a page."""

import base64
import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flows.engine.project import Project
from flows.engine.run_files import text_of
from flows.versions.history import Version, find_version
from prior3d.errors import Prior3dError
from prior3d.files import write_whole

FRAME = re.compile(r"frames/(?P<series>\w+?)_(?P<number>\d+)\.png$")
LARGEST, QUALITY = 1600, 88
VIDEO_WIDTH = 320
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
THUMBNAIL_WIDTH = 320
ENOUGH_AROUND = 6  # at most 60 degrees from one to the next
SHOWN_FIRST = ("preview.png", "turntable.png", "mesh_turntable.png")


@dataclass(frozen=True)
class PageImage:
    """An image on a page: the name of its file, and its content as a data: URL."""

    name: str
    url: str


def previews(version: Version, stage: str, most: int = 4) -> list[PageImage]:
    """The images at the top of a stage's artifact, the best known first."""
    paths = [p for p in version.files(stage) or {} if p.count("/") == 1 and p.startswith(f"{stage}/")]
    names = [p.partition("/")[2] for p in paths if p.endswith(".png")]
    order = sorted(names, key=lambda n: (SHOWN_FIRST.index(n) if n in SHOWN_FIRST else len(SHOWN_FIRST), n))
    found = [(name, version.read(stage, f"{stage}/{name}")) for name in order[:most]]
    return [image for name, content in found if content and (image := page_image(name, content)) is not None]


def page_image(name: str, content: bytes, largest: int = LARGEST) -> PageImage | None:
    """An image for a page; None where it is damaged, so that one bad file does not take a page from all runs."""
    try:
        return PageImage(name, as_webp(content, largest))
    except Prior3dError:
        return None


def thumbnail_source(version: Version) -> Iterator[tuple[str, Path]]:
    """Candidates for the thumbnail of a version, best first: a unique key, and the file.

    The mesh from beside its front, which alone would flatter a run that was made from one image; else the preview of
    the last stage; without any preview the first image; without any image an input.
    """
    found = []
    for stage in reversed(version.lock):
        files = {p: md5 for p, md5 in (version.files(stage) or {}).items() if Path(p).suffix in SUFFIXES}
        best = (_beside_the_front(stage, files), f"{stage}/preview.png")
        found += [
            (p not in best, stage, p, files[p]) for p in sorted(files, key=lambda p: (p != best[0], *_first_level(p)))
        ]
    for _, stage, path, md5 in sorted(found, key=lambda entry: entry[0]):
        place = version.place(stage, path)
        if place is not None:
            yield md5, place
    for name, entry in version.inputs.items():
        for index, place in enumerate(input_images(version, name)):
            yield f"{entry.get('md5', version.run.name)}-{index}", place


def _beside_the_front(stage: str, files: dict[str, str]) -> str:
    """The second of the images once around a mesh, if they are so many that it still shows some of the front."""
    around = sorted(p for p in files if p.startswith(f"{stage}/frames/mesh_"))
    return around[1] if len(around) >= ENOUGH_AROUND else ""


def _first_level(path: str) -> tuple[int, str]:
    return path.count("/"), path


def thumbnail(project: Project, name: str, key: str) -> str | None:
    """The thumbnail of a run's present version, kept under `.prior3d/thumbnails`; None if it is gone.

    Args:
        project: the project.
        name: the run's.
        key: of `thumbnail_source`.
    """
    kept = project.state / "thumbnails" / key
    known = text_of(kept)
    if known is not None:
        return known
    place = next((p for k, p in thumbnail_source(find_version(project, name)) if k == key), None)
    if place is None:
        return None
    image = page_image(name, place.read_bytes(), THUMBNAIL_WIDTH)
    if image is None:
        return None
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_whole(kept, image.url)
    return image.url


def input_images(version: Version, name: str, most: int = 8) -> list[Path]:
    """The images of an input (a file, or some of a folder); none if the input was replaced since the version."""
    path = version.run.folder / version.inputs[name]["file"]
    if "sha256" in version.inputs[name] or not version.is_present:
        return []
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    photographs = [p for p in found if "images" in p.relative_to(path).parts] or found  # not their masks and depths
    step = max(1, -(-len(photographs) // most))
    return photographs[::step]


def turntables(version: Version) -> dict[str, list[str]]:
    """Images once around the object, by what they show: every `turntable.mp4`, and the series in `frames/`."""
    found: dict[str, list[str]] = {}
    for stage in version.lock:
        video = version.read(stage, f"{stage}/turntable.mp4")
        if video:
            found["mesh"] = video_frames(video)
        series: dict[str, list[str]] = {}
        for path in sorted(version.files(stage) or {}):
            match, content = FRAME.search(path), None
            if match and not (video and match["series"] == "mesh"):
                content = version.read(stage, path)
            image = page_image(path, content) if content else None
            if match and image is not None:
                series.setdefault(match["series"], []).append(image.url)
        found |= series
    return {name: urls for name, urls in found.items() if len(urls) > 1}


@cache
def as_webp(content: bytes, largest: int = LARGEST) -> str:
    """An image as a data: URL of a WebP, with no side above `largest` pixels."""
    from PIL import ImageOps  # start-up: `ls` imports this module and draws nothing

    from prior3d.images.opening import opened_image  # the same

    with opened_image(content, "an image of a run", "run the stage that makes it again") as opened:
        upright = ImageOps.exif_transpose(opened)
        image = upright.convert("RGBA" if "A" in upright.mode else "RGB")
        image.thumbnail((largest, largest))
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=QUALITY, method=2)
    return data_url(stream.getvalue(), "image/webp")


@cache
def video_frames(content: bytes) -> list[str]:
    """Every frame of a short video, as data: URLs of JPEGs."""
    # start-up: `ls` imports this module and draws nothing
    import imageio.v3 as imageio
    from PIL import Image

    urls = []
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        for frame in imageio.imiter(file.name, plugin="FFMPEG"):
            image = Image.fromarray(frame)
            image.thumbnail((VIDEO_WIDTH, VIDEO_WIDTH))
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=QUALITY)
            urls.append(data_url(stream.getvalue(), "image/jpeg"))
    return urls


def data_url(content: bytes, kind: str) -> str:
    """Content inside a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
