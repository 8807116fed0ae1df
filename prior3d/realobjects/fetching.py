"""Bring the libraries of models here: out of Debian's package, by apt or from a file that a person brought.

Every file is checked by its hash, so whatever reads the libraries reads what was studied. Models never enter the
repository.
"""

import hashlib
import lzma
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from prior3d.errors import Prior3dError

PACKAGE, VERSION = "sweethome3d-furniture", "1.8-1"
DEB_SHA256 = "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668"
LIBRARIES = {  # file name to its SHA-256
    "BlendSwap-CC-0.sh3f": "7ef093fe70cedbb160bdb532d86a84580459635e34130c16777f549eba1993dc",
    "BlendSwap-CC-BY.sh3f": "29ae78937b4d5dbe93db74067817a984fa411f017b007fd666bc40368bdb0c83",
    "KatorLegaz.sh3f": "f512443b5d3a6903497573095f971f44334b3165ab32182133051fa9487764a6",
    "Reallusion.sh3f": "dd553207876ccec6372dde7aaea6b2dcf2d631997fcdb8a9856a639e0db9aa9b",
    "Scopia.sh3f": "b4505451b1e8ab339c101c0afddfef4e1a07b95aa8c821c61ec41487afd43850",
}
ELSEWHERE = (
    f"download {PACKAGE}_{VERSION}_all.deb from a Debian mirror (pool/main/s/{PACKAGE}/), and give it: "
    "prior3d priors fetch-objects --from FILE.deb"
)


def fetch_objects(folder: Path, source: Path | None = None) -> str:
    """Put the libraries into a folder; what is there and whole stays.

    Args:
        folder: of the libraries.
        source: the package, a folder with the libraries or with the package in it, or None for apt.

    Returns:
        What was done, in words.

    Raises:
        Prior3dError: the source is not there, of another version or damaged, or apt cannot fetch it.
    """
    if not unlike(folder):
        return f"{folder}: {len(LIBRARIES)} libraries are here and whole"
    folder.mkdir(parents=True, exist_ok=True)
    if source is None:
        with tempfile.TemporaryDirectory() as download:
            _unpack(_by_apt(Path(download)), folder)
    elif source.is_dir():
        packages = sorted(source.glob(f"{PACKAGE}_*.deb"))
        if packages and not any((source / name).exists() for name in LIBRARIES):
            _unpack(packages[-1], folder)
        else:
            _copy(source, folder)
    elif source.is_file():
        _unpack(source, folder)
    else:
        raise Prior3dError(f"--from {source}: there is no such file or folder; {ELSEWHERE}")
    return f"{folder}: {len(LIBRARIES)} libraries from {source or 'apt'}"


def unlike(folder: Path) -> list[str]:
    """Names of libraries that are not in a folder, or differ from the studied ones."""
    return [name for name, wanted in LIBRARIES.items() if not _is(folder / name, wanted)]


def need_objects(folder: Path) -> None:
    """Raise Prior3dError unless a folder has all libraries."""
    if missing := unlike(folder):
        raise Prior3dError(
            f"{folder}: {', '.join(missing)} not here, or damaged; real objects come by: prior3d priors fetch-objects"
        )


def _is(path: Path, wanted: str) -> bool:
    return path.is_file() and _sha256(path) == wanted


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _by_apt(folder: Path) -> Path:
    """The package, downloaded without installing it."""
    if shutil.which("apt-get") is None:
        raise Prior3dError(f"there is no apt-get on this machine; {ELSEWHERE}")
    line = ["apt-get", "download", f"{PACKAGE}={VERSION}"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    found = sorted(folder.glob("*.deb"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no file came"])[-1]
        raise Prior3dError(f"{' '.join(line)} failed ({reason}); try apt-get update, or {ELSEWHERE}")
    return found[0]


def _copy(source: Path, folder: Path) -> None:
    if wrong := unlike(source):
        raise Prior3dError(
            f"--from {source}: {', '.join(wrong)} not there, or not those of {PACKAGE} {VERSION}; {ELSEWHERE}"
        )
    for name in LIBRARIES:
        _place(source / name, folder / name)


def _unpack(package: Path, folder: Path) -> None:
    """Take the libraries out of the package, whose hash is checked first."""
    found = _sha256(package)
    if found != DEB_SHA256:
        raise Prior3dError(
            f"{package}: its SHA-256 is {found[:12]}..., but that of {PACKAGE} {VERSION} is {DEB_SHA256[:12]}...: "
            f"it is another version or damaged; {ELSEWHERE}"
        )
    with tempfile.TemporaryDirectory(dir=folder) as here, package.open("rb") as stream:
        with lzma.open(_member(stream, "data.tar.xz")) as content, tarfile.open(fileobj=content, mode="r|") as archive:
            for member in archive:
                name = Path(member.name).name
                part = archive.extractfile(member) if name in LIBRARIES else None
                if part is not None:
                    with (Path(here) / name).open("wb") as out:
                        shutil.copyfileobj(part, out)
        for name in LIBRARIES:
            (Path(here) / name).replace(folder / name)


def _member(stream: IO[bytes], wanted: str) -> IO[bytes]:
    """A package (an `ar` archive), positioned at the content of a member."""
    stream.seek(8)
    while header := stream.read(60):
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        if name == wanted:
            return stream
        stream.seek(size + size % 2, 1)
    raise Prior3dError(f"the package has no {wanted}; {ELSEWHERE}")


def _place(source: Path, target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.copyfile(source, part)
    part.replace(target)
