"""Export of a version's mesh alone, as one file that another program opens and that says where it came from."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flows.provenance.statement import with_statement
from flows.terminal import size_text
from flows.versions.history import Version
from prior3d.diffusion.embedded import is_embedded
from prior3d.errors import Prior3dError

INSTEAD = "export a .glb, and convert it (Blender opens it)"
NOT_WRITTEN = dict.fromkeys(("usd", "usdc", "usda", "fbx", "gltf", "dae", "blend"), INSTEAD)


@dataclass(frozen=True)
class MeshOptions:
    """How a mesh leaves the project.

    Attributes:
        size: longest side; None keeps it.
        on_floor: whether its lowest point comes to lie at height 0.
        roughness: of the whole surface; None keeps what the GLB says.
        metallic: the same.
        without_light: whether the light of the embedded priors is taken out of the texture.
    """

    size: float | None = None
    on_floor: bool = False
    roughness: float | None = None
    metallic: float | None = None
    without_light: bool = False


def export_version_mesh(version: Version, target: Path, kind: str, options: MeshOptions) -> str:
    """Write the last mesh of a version.

    Args:
        version: all its files are in the cache, or in the run's folder.
        target: a new file with that ending, or a folder to put it in.
        kind: one of `FORMATS` of `prior3d.meshes.export`.
        options: how.

    Returns:
        One line that says what was written.

    Raises:
        Prior3dError: there is no mesh, the file exists, or it cannot be written.
    """
    stage = next((s for s in reversed(version.lock) if "mesh.glb" in _names(version, s)), None)
    if stage is None:
        raise Prior3dError(f"{version.label} has no mesh.glb yet; see: prior3d status {version.run.name}")
    file = target if target.suffix.lower() == f".{kind}" else target / f"{version.run.name}.{kind}"
    taken = [place for place in _written(file) if os.path.lexists(place)]
    if taken:
        raise Prior3dError(f"{taken[0]} exists; name another file, or delete it")
    content = version.read(stage, f"{stage}/mesh.glb")
    if content is None:
        version.require_files()
    if options.without_light:
        content = _evenly_lit(version, content or b"")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=file.parent) as folder:
            _write(version, stage, Path(folder) / file.name, content or b"", options)
            for part in sorted(Path(folder).iterdir()):
                part.replace(file.parent / part.name)
    except OSError as error:
        raise Prior3dError(f"{file} cannot be written ({error.strerror or error}); name another place") from error
    return f"{version.label}: {file} ({size_text(file.stat().st_size)})"


def _written(target: Path) -> list[Path]:
    """The files that `export_mesh` writes for a target: of OBJ also those that it names, its MTL and its texture."""
    return [target, *(target.with_suffix(end) for end in (".mtl", ".png") if target.suffix.lower() == ".obj")]


def _write(version: Version, stage: str, file: Path, content: bytes, options: MeshOptions) -> None:
    """Write a stage's GLB as a file of another format, and where it came from into it."""
    from prior3d.meshes.export import Surface, export_mesh  # start-up: trimesh and Open3D, for meshes alone

    surface = Surface(options.roughness, options.metallic)
    export_mesh(content, file, options.size, options.on_floor, surface)
    path = f"{stage}/mesh{file.suffix.lower()}"
    file.write_bytes(with_statement(version, stage, path, file.read_bytes()))


def _evenly_lit(version: Version, content: bytes) -> bytes:
    """A GLB without the light of the embedded priors; raises Prior3dError where another light may have fallen."""
    from prior3d.toyworld.light import glb_without_light  # start-up, as above

    priors = [entry["name"] for entry in version.inputs.values() if "name" in entry]
    files = [name for name, entry in version.inputs.items() if not {"name", "text"} & set(entry) and name != "shape"]
    if files:
        raise Prior3dError(
            f"{version.label}: --without-light knows the light of the embedded priors, not that of its {files[0]}; "
            "leave it out"
        )
    other = [name for name in priors if not is_embedded(name)]
    if other or not priors:
        raise Prior3dError(
            f"{version.label}: --without-light knows the light of the embedded priors, not that of "
            f"{other[0] if other else 'a run without a prior'}; leave it out"
        )
    return glb_without_light(content)


def _names(version: Version, stage: str) -> set[str]:
    return {Path(path).name for path in version.files(stage) or {}}
