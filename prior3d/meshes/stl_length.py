"""Whether an STL file is whole: said before a library gives another reason."""

from pathlib import Path

from prior3d.errors import Prior3dError

HEADER, FACE = 84, 50  # bytes
MOST_TIMES = 1000  # as many faces as are there: a header that says more is none


def check_stl(path: Path) -> None:
    """Refuse a binary STL file that is shorter than its header says (raises Prior3dError)."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        beginning = stream.read(1024)
    is_text = beginning.lstrip().startswith(b"solid") and b"facet" in beginning
    if is_text or size < HEADER:
        return
    n_faces, n_there = int.from_bytes(beginning[80:84], "little"), (size - HEADER) // FACE
    if n_there < n_faces < MOST_TIMES * max(n_there, 1):
        raise Prior3dError(
            f"mesh {path.name}: the file is cut off: it says {n_faces:,} faces and holds {n_there:,}; fetch it again"
        )
