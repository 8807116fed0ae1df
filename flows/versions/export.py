"""Export of a version: a folder or a ZIP that says where its files came from."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.engine.declaration import yaml_of
from flows.provenance.statement import with_statement
from flows.terminal import size_text
from flows.versions.history import Version
from prior3d.errors import Prior3dError

PROVENANCE = "provenance.json"


def export_version(version: Version, target: Path) -> str:
    """Write a version's artifacts, parameters, small inputs, its page and `provenance.json`.

    Args:
        version: all its files are in the cache, or in the run's folder.
        target: a new or empty folder, or a new file that ends in `.zip`.

    Returns:
        One line that says what was done.

    Raises:
        Prior3dError: the target exists or cannot be written, or files of the version were collected.
    """
    if target.suffix.lower() == ".zip":
        if target.exists():
            raise Prior3dError(f"{target} exists; name another file, or delete it")
        write = _write_zip
    else:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise Prior3dError(f"{target} exists and is not an empty folder; name another one")
        write = _write_folder
    if any(version.place(s, p) is None for s in version.lock for p in version.files(s) or [""]):
        version.require_files()
    try:
        n_files, size = write(target, _entries(version))
    except OSError as error:
        raise Prior3dError(f"{target} cannot be written ({error.strerror or error}); name another place") from error
    return f"{version.label}: {n_files} files, {size_text(size)} in {target} ({PROVENANCE} says how they were made)"


def _entries(version: Version) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file; the provenance comes last, with a checksum of each."""
    from flows.versions.page import page_of  # start-up: Jinja2, which `log` and `diff` do not need

    checksums: dict[str, dict[str, Any]] = {}

    def noted(path: str, content: bytes) -> tuple[str, bytes]:
        checksums[path] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        return path, content

    for stage in version.lock:
        for path, md5 in (version.files(stage) or {}).items():
            content = version.read(stage, path) or b""
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
                raise Prior3dError(
                    f"{version.label}: {path} does not match its record ({md5}): it is damaged or edited"
                )
            yield noted(path, with_statement(version, stage, path, content))
    yield noted("params.yaml", yaml_of(version.params()).encode())
    yield noted("dvc.lock", version.text.encode())
    yield noted("index.html", page_of([version]).encode())
    provenance = {
        "run": version.run.name,
        "version": version.number,
        "method": version.method,
        "inputs": version.described.get("inputs") or {},
        "parameters": version.params(),
        "code": {s: version.code(s) for s in version.lock},
        "metrics": version.metrics(),
        "record": asdict(version.record) if version.record else None,
        "files": checksums,
    }
    yield PROVENANCE, (json.dumps(provenance, indent=1) + "\n").encode()


def _write_folder(target: Path, entries: Iterator[tuple[str, bytes]]) -> tuple[int, int]:
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    n_files = size = 0
    try:
        for path, content in entries:
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_bytes(content)
            n_files, size = n_files + 1, size + len(content)
        if target.exists():
            target.rmdir()
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return n_files, size


def _write_zip(target: Path, entries: Iterator[tuple[str, bytes]]) -> tuple[int, int]:
    partial = target.with_name(f".{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    n_files = size = 0
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in entries:
                entry = zipfile.ZipInfo(f"{target.stem}/{path}")  # without the time: two exports are the same bytes
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, content)
                n_files, size = n_files + 1, size + len(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return n_files, size
