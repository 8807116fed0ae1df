import ast
import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from flows.engine import fingerprint as f

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "pkg" / "sub").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "a": "from pkg import b\nfrom .sub import c\nimport json\nfrom numpy import linalg\n"
        "def run():\n    import pkg.late\n",
        "b": "X = 1\n",
        "late": "Y = 1\n",
        "unused": "Z = 1\n",
        "sub/__init__": "",
        "sub/c": "from ..b import X\n",
    }.items():
        (tmp_path / "pkg" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    f._package_folder.cache_clear()
    yield tmp_path / "pkg"
    f._package_folder.cache_clear()
    sys.modules.pop("pkg", None)


EVERYTHING = r"""
import a.b as c
class K(L, metaclass=M): pass
@d(1, *x, k=None, **y)
async def f(p, /, q: int = 1, *a, r=..., **z) -> "list[int]":
    async with g() as h, i: return await (yield)
    for j, in ({1: 2, **w} for v in u if v): del j[1:2, ::3]
    try: assert not x, f"{x!r:>{width}} {y:{w}.{p}f} {z=} text" f"{''}"
    except (A, B) as e: raise E from None
    else: lambda *, s=b"\x00", **t: (s := 1j)
    match m:
        case [1, *_] | {"k": None, **rest} | P(q=True) if x < 3 <= y: global n
        case None: pass
"""


def test_a_digest_is_the_same_in_every_python():
    """Those of Python 3.11 lie in the locks of runs; later ones write trees in other words."""
    tree = ast.parse(EVERYTHING)
    if sys.version_info[:2] == (3, 11):
        assert f.tree_text(tree) == ast.dump(tree)
        for file in ROOT.joinpath("flows", "engine").glob("*.py"):
            assert f.tree_text(ast.parse(file.read_bytes())) == ast.dump(ast.parse(file.read_bytes()))
    assert hashlib.sha256(f.tree_text(tree).encode()).hexdigest()[:16] == "9925f57591730c8d"


def test_reaches_lazy_and_relative_imports(package):
    assert f.reached("pkg.a") == {"pkg.a", "pkg.b", "pkg.late", "pkg.sub.c"}
    assert "pkg.unused" not in f.reached("pkg.a")


@pytest.mark.parametrize(
    ("condition", "followed"),
    [("TYPE_CHECKING", False), ("typing.TYPE_CHECKING", False), ("not TYPE_CHECKING", True), ("X", True)],
)
def test_imports_for_type_checkers_are_not_followed(package, condition, followed):
    import_of = "    import torch\n    from pkg.unused import Z\n"
    (package / "b.py").write_text(f"X = 1\nif {condition}:\n{import_of}")
    assert ("pkg.unused" in f.reached("pkg.a")) == followed
    assert (("torch", "") in f.libraries("pkg.a")) == followed


def test_the_other_branch_is_followed(package):
    (package / "b.py").write_text("if TYPE_CHECKING:\n    import torch\nelse:\n    import pkg.unused\n")
    assert "pkg.unused" in f.reached("pkg.a")


def test_a_package_that_only_passes_names_on_is_looked_through(package):
    """A name counts as the module that defines it; what else the package passes on does not."""
    (package / "sub" / "__init__.py").write_text(
        '"""Doors."""\n\nfrom pkg.late import Y\nfrom pkg.sub.c import run\n\n__all__ = ["Y", "run"]\n'
    )
    (package / "a.py").write_text("from pkg.sub import Y\n")
    assert f.reached("pkg.a") == {"pkg.a", "pkg.late"}
    (package / "a.py").write_text("from pkg.sub import c, Y\n")
    assert f.reached("pkg.a") == {"pkg.a", "pkg.late", "pkg.sub.c", "pkg.b"}
    (package / "a.py").write_text("import pkg.sub\n")
    assert {"pkg.sub", "pkg.late", "pkg.sub.c"} <= f.reached("pkg.a")


@pytest.mark.parametrize("more", ["X = 1\n", "Y.do()\n", "from pkg.late import Y as Z\n", "from pkg.late import *\n"])
def test_a_package_that_does_more_counts_whole(package, more):
    (package / "sub" / "__init__.py").write_text(f"from pkg.late import Y\n{more}")
    (package / "a.py").write_text("from pkg.sub import Y\n")
    assert "pkg.sub" in f.reached("pkg.a")


def test_libraries_are_what_is_not_the_projects(package):
    assert f.libraries("pkg.a") == [("json", ""), ("numpy", "linalg")]


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "import json", "import  json  # a remark"),
        ("b.py", "X = 1", '"""A docstring."""\nX = 1'),
        ("unused.py", "1", "2"),
    ],
)
def test_not_changed_by(package, file, old, new):
    before = f.fingerprint("pkg.a")
    change(package / file, old, new)
    assert f.fingerprint("pkg.a") == before


@pytest.mark.parametrize("file", ["b.py", "late.py"])
def test_changed_by(package, file):
    before = f.fingerprint("pkg.a")
    change(package / file, "1", "11")
    assert f.fingerprint("pkg.a") != before


def test_templates_of_reached_packages_are_in_it(package):
    digests = [f.fingerprint("pkg.a")]
    for text in ("<p>one</p>", "<p>two</p>"):
        (package / "sub" / "page.html.j2").write_text(text)
        digests.append(f.fingerprint("pkg.a"))
    assert len(set(digests)) == 3


def test_plumbing_is_not_in_it():
    assert "stages.contract.entry" not in f.reached("stages.contract.entry") and "stages.contract.job" not in f.reached(
        "stages.contract.job"
    )


def test_unknown_module():
    with pytest.raises(ModuleNotFoundError, match="no source file of module stages.nothing"):
        f.fingerprint("stages.nothing")


def test_functions_are_told_apart(package):
    (package / "b.py").write_text(
        "X = 1\n\n\ndef f():\n    return 1\n\n\nclass C:\n    Y = 2\n\n    def m(self):\n        return 3\n"
    )
    before = f.functions("pkg.a")
    assert list(before["pkg.b"]) == ["f", "C.m", "C", "(top level)"] and "pkg.late" in before
    change(package / "b.py", "return 3", '"""Three."""\n        return 3  # a remark')
    assert f.functions("pkg.a") == before
    change(package / "b.py", "return 3  #", "return 33  #")
    after = f.functions("pkg.a")
    assert {n for n in before["pkg.b"] if before["pkg.b"][n] != after["pkg.b"][n]} == {"C.m"}
