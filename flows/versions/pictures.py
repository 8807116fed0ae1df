"""Pictures of a version, small enough to travel inside a page."""

import base64
import io
import re
from dataclasses import dataclass
from functools import cache

from flows.versions.history import Version

FRAME = re.compile(r"frames/(?P<series>\w+?)_(?P<number>\d+)\.png$")
LARGEST, QUALITY = 1600, 88
VIDEO_WIDTH = 320
SHOWN_FIRST = ("preview.png", "turntable.png", "mesh_turntable.png")


@dataclass(frozen=True)
class Picture:
    """A picture of a stage: its file's name, and itself as a data: URL."""

    name: str
    url: str


def previews(version: Version, stage: str, most: int = 4) -> list[Picture]:
    """The pictures that lie at the top of a stage's artifact, best known first."""
    paths = [p for p in version.files(stage) or {} if p.count("/") == 1 and p.startswith(f"{stage}/")]
    names = [p.partition("/")[2] for p in paths if p.endswith(".png")]
    order = sorted(names, key=lambda n: (SHOWN_FIRST.index(n) if n in SHOWN_FIRST else len(SHOWN_FIRST), n))
    found = [(name, version.read(stage, f"{stage}/{name}")) for name in order[:most]]
    return [Picture(name, as_webp(content)) for name, content in found if content]


def thumbnail(version: Version, width: int = 320) -> str | None:
    """One small picture of the last stage that has one."""
    for stage in reversed(version.lock):
        content = version.read(stage, f"{stage}/preview.png")
        if content:
            return as_webp(content, width)
    return None


def turntables(version: Version) -> dict[str, list[str]]:
    """Pictures once round the object, by what they show: every video `turntable.mp4` and the series in `frames/`."""
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
            if match and content:
                series.setdefault(match["series"], []).append(as_webp(content))
        found |= series
    return {name: pictures for name, pictures in found.items() if len(pictures) > 1}


@cache
def as_webp(content: bytes, largest: int = LARGEST) -> str:
    """A picture as a data: URL of a WebP that is at most so wide."""
    from PIL import Image

    opened = Image.open(io.BytesIO(content))
    picture = opened.convert("RGBA" if "A" in opened.mode else "RGB")
    picture.thumbnail((largest, largest))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=2)
    return data_url(stream.getvalue(), "image/webp")


@cache
def video_frames(content: bytes) -> list[str]:
    """Every frame of a short video, as data: URLs of JPEGs."""
    import tempfile

    import imageio.v3 as imageio
    from PIL import Image

    urls = []
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        for frame in imageio.imiter(file.name, plugin="FFMPEG"):
            picture = Image.fromarray(frame)
            picture.thumbnail((VIDEO_WIDTH, VIDEO_WIDTH))
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=QUALITY)
            urls.append(data_url(stream.getvalue(), "image/jpeg"))
    return urls


def data_url(content: bytes, kind: str) -> str:
    """Content inside a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
