"""Nothing that only POSIX systems have is needed to import the project: what is left of a port is in two files."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
POSIX_ONLY = ("fcntl", "resource", "termios", "pwd", "grp")
EXTRAS = ("distributed", "ray", "pxr", "pycolmap", "triton", "numba", "viser", "rembg")  # not installed everywhere
# Third parties import these too, and know what to do without them; so only imports by the project fail.
WITHOUT = """
import builtins, importlib, importlib.util, pathlib, sys
posix, root, place = set({posix!r}), pathlib.Path({root!r}), builtins.__import__
find = importlib.util.find_spec
def ours(values):
    return str((values or {{}}).get("__name__", "")).partition(".")[0] in ("prior3d", "stages", "flows", "bad_module")
def without(name, globals=None, locals=None, fromlist=(), level=0):
    if ours(globals) and name.partition(".")[0] in posix:
        raise ImportError(f"{{globals['__name__']}} imports {{name}}")
    return place(name, globals, locals, fromlist, level)
builtins.__import__ = without
importlib.util.find_spec = lambda name, package=None: None if name in posix else find(name, package)
for file in map(pathlib.Path, sys.argv[1:]):
    parts = file.with_suffix("").relative_to(root).parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if parts[-1] == "__main__" or name == "flows.engine.fresh_stage":
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in {extras!r}:
            raise
print("all")
"""


def imported(files, root=ROOT):
    code = WITHOUT.format(posix=POSIX_ONLY, extras=EXTRAS, root=str(root))
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, files)], cwd=root, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ["prior3d", "stages", "flows"])
def test_every_module_imports_without_what_only_posix_has(package):
    done = imported(sorted((ROOT / package).rglob("*.py")))
    assert (done.returncode, done.stdout.strip()) == (0, "all"), done.stderr[-2000:]


@pytest.mark.parametrize("name", POSIX_ONLY)
def test_the_check_finds_such_an_import(tmp_path, name):
    (tmp_path / "bad_module.py").write_text(f"import {name}\n")
    assert f"bad_module imports {name}" in imported([tmp_path / "bad_module.py"], tmp_path).stderr
