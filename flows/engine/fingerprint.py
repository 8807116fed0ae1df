"""A digest of a stage's code that a comment, a docstring or a line break does not change.

It covers the stage's package (declaration and body) and every project module that they import, directly or through
others, at the top or inside functions; what stands under `if TYPE_CHECKING` is never imported. A package that only
passes names on (`from prior3d.rendering import rays`) is looked through: the module that defines the name counts.
Installed packages are not in it: their versions are recorded beside results, not in the key.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flows.engine.parsed_sources import ParsedSources

PROJECT = ("prior3d", "stages", "flows")
# How a stage is run, where its files lie, how its values are checked and its errors read: not what it computes.
# Parameters are in a result's key themselves, complete, so what checks them is not.
CONTRACT, COMPUTES = "stages.contract", frozenset({"stages.contract.preview"})
PLUMBING = frozenset(
    {
        "prior3d",  # hands names of flows/api.py on, to people and not to stages
        "prior3d.captures.colmap_files",  # refuses what is damaged
        "prior3d.checkpoints",
        "prior3d.diffusion.embedded",
        "prior3d.diffusion.graphs",  # how frozen networks are called, not what they say
        "prior3d.distillation.protocol",  # signatures only
        "prior3d.errors",
        "prior3d.fields.protocol",  # signatures only
        "prior3d.files",
        "prior3d.images.opening",  # refuses, and hands on what Pillow reads
        "prior3d.inside",
        "prior3d.limits",
        "prior3d.open3d_viewer",  # what drawing in a browser wants is imported late
        "prior3d.seals",
        "prior3d.sending",  # to a GPU, unchanged
        "prior3d.settings",  # types of parameters: units and ranges; the settings themselves lie in modules under it
        "prior3d.settings.optimisation",  # declarations only
        "prior3d.settings.refresh",
        "prior3d.suggestions",
        "stages.artifacts",  # names of kinds; what reads and writes them is imported by the stage's body
    }
)

LATER_FIELDS = frozenset({"type_params"})  # of Python 3.12


@dataclass(frozen=True)
class Module:
    """What one source file means.

    Attributes:
        digest: of its code.
        imports: (module, name) pairs.
        passes_on: whether it does nothing but import names for others.
    """

    digest: str
    imports: tuple[tuple[str, str], ...]
    passes_on: bool


def fingerprint(module: str, roots: tuple[str, ...] = PROJECT) -> str:
    """The digest of a stage's code: 16 hexadecimal digits."""
    together = hashlib.sha256()
    for name in sorted(reached(module, roots)):
        together.update(f"{name} {_source(name).digest}\n".encode())
        for template in _templates(name):
            together.update(f"{template.name} {hashlib.sha256(template.read_bytes()).hexdigest()}\n".encode())
    _parsed_sources().write()
    return together.hexdigest()[:16]


def functions(module: str, roots: tuple[str, ...] = PROJECT) -> dict[str, dict[str, str]]:
    """What a stage's code consists of: module -> function, method or `(top level)` -> digest of its code."""
    places = {name: _file(name) for name in sorted(reached(module, roots))}
    states = [(name, path, path.stat()) for name, path in places.items() if path is not None]
    return {name: _functions(path, state.st_mtime_ns, state.st_size) for name, path, state in states}


@cache
def _functions(path: Path, mtime_ns: int, size: int) -> dict[str, str]:
    return dict(_digests(ast.parse(path.read_bytes(), filename=str(path))))


def _digests(tree: ast.Module) -> Iterable[tuple[str, str]]:
    """Digests of the functions and methods of a module; what is left of it is its top level."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    rest: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            inner = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield from ((f"{node.name}.{n.name}", _digest(n)) for n in inner)
            node.body = [n for n in node.body if n not in inner]
            yield node.name, _digest(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, _digest(node)
        else:
            rest.append(node)
    yield "(top level)", _digest(ast.Module(rest, []))


def _digest(node: ast.AST) -> str:
    return hashlib.sha256(tree_text(node).encode()).hexdigest()[:12]


def tree_text(node: object) -> str:
    """A syntax tree, or a part of one, as text that all Pythons agree on: that of Python 3.11's `ast.dump`.

    Later Pythons have fields for syntax that 3.11 has not, and write less of empty ones.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(tree_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: getattr(node, name, None) for name in node._fields}
    if isinstance(node, ast.JoinedStr):  # some Pythons end the format of a value in an empty text
        fields["values"] = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
    is_value = isinstance(node, ast.Constant | ast.MatchSingleton)  # `None` is a value there, not a field's default
    shown = [
        f"{name}={tree_text(value)}"
        for name, value in fields.items()
        if (value is not None or (is_value and name == "value")) and (value or name not in LATER_FIELDS)
    ]
    return f"{type(node).__name__}({', '.join(shown)})"


def reached(module: str, roots: tuple[str, ...] = PROJECT) -> set[str]:
    """A stage's declaration and body, and all project modules that they import, without the plumbing."""
    roots = (*roots, module.partition(".")[0])
    seen: set[str] = set()
    queue = [name for name in (module, f"{module}.stage") if _file(name) is not None]
    if not queue:
        raise ModuleNotFoundError(f"no source file of module {module} was found", name=module)
    while queue:
        name = queue.pop()
        if name in seen or _is_plumbing(name):
            continue
        seen.add(name)
        queue += [m for m in _targets(_source(name).imports) if m.partition(".")[0] in roots]
    return seen


def _templates(module: str) -> list[Path]:
    """The templates (`.j2`) in the folder of a package: they decide what a page says, so they are code."""
    path = _file(module)
    return sorted(path.parent.glob("*.j2")) if path is not None and path.name == "__init__.py" else []


def _is_plumbing(name: str) -> bool:
    """Whether a module is no part of what any stage computes."""
    in_contract = name == CONTRACT or name.startswith(f"{CONTRACT}.")
    return name in PLUMBING or (in_contract and name not in COMPUTES)


def libraries(module: str, roots: tuple[str, ...] = PROJECT) -> list[tuple[str, str]]:
    """Everything that is not the project's and that a stage imports somewhere, as (module, name) pairs."""
    pairs = {pair for name in reached(module, roots) for pair in _source(name).imports}
    inside = (*roots, module.partition(".")[0])
    return sorted(p for p in pairs if p[0].partition(".")[0] not in inside)


def _targets(imports: Collection[tuple[str, str]]) -> set[str]:
    """The modules that import statements name: `from a import b` is a.b where that is a module.

    Where `a` is a package that only passes names on, it is the module that defines b.
    """
    found = set()
    passes_on = {module: _passes_on(module) for module in {module for module, _ in imports}}
    for module, name in imports:
        inner = f"{module}.{name}" if name and _file(f"{module}.{name}") is not None else None
        origins = [origin for origin in _source(module).imports if origin[1] == name] if passes_on[module] else []
        if inner is not None:
            found |= {inner} if passes_on[module] else {module, inner}
        elif origins:
            found |= _targets(origins)
        else:
            found.add(module)
    return {m for m in found if _file(m) is not None}


def _passes_on(module: str) -> bool:
    """Whether a module is a package that only passes names on, and holds no templates."""
    path = _file(module)
    return path is not None and path.name == "__init__.py" and _source(module).passes_on and not _templates(module)


def _file(module: str) -> Path | None:
    """The source file of a project module, found without importing it."""
    head, *rest = module.split(".")
    top = _package_folder(head)
    return None if top is None else next((place for place in _places(top, *rest) if place.is_file()), None)


@cache
def _places(top: Path, *rest: str) -> tuple[Path, ...]:
    """Where the source file of a module of a package may lie."""
    base = top.joinpath(*rest)
    return (base / "__init__.py", base.with_suffix(".py")) if rest else (base / "__init__.py",)


@cache
def _package_folder(name: str) -> Path | None:
    if name in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _source(module: str) -> Module:
    path = _file(module)
    if path is None:
        raise ModuleNotFoundError(f"no source file of module {module} was found", name=module)
    status = path.stat()
    return _parse(module, path, status.st_mtime_ns, status.st_size)


@cache
def _parsed_sources() -> ParsedSources:
    return ParsedSources(__file__)


@cache
def _parse(module: str, path: Path, mtime_ns: int, size: int) -> Module:
    content = path.read_bytes()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    key = hashlib.sha256(f"{package}\n".encode() + content).hexdigest()
    known = _parsed_sources().get(key)
    if known is None:
        parsed = _parse_text(content, str(path), package)
        _parsed_sources().add(key, [parsed.digest, parsed.imports, parsed.passes_on])
        return parsed
    return Module(known[0], tuple((name, part) for name, part in known[1]), known[2])


def _parse_text(content: bytes, filename: str, package: str) -> Module:
    tree = ast.parse(content, filename=filename)
    imports = tuple(_imports(tree, package))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    passes_on = filename.endswith("__init__.py") and all(map(_passes_names_on, tree.body))
    return Module(hashlib.sha256(tree_text(tree).encode()).hexdigest(), imports, passes_on)


def _passes_names_on(statement: ast.stmt) -> bool:
    """Whether a statement (of a module without its docstring) is `from a import b`, or the list `__all__`."""
    if isinstance(statement, ast.ImportFrom):
        return all(alias.name != "*" and alias.asname in (None, alias.name) for alias in statement.names)
    return isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == ["__all__"]


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]


def _imports(tree: ast.AST, package: str) -> Iterable[tuple[str, str]]:
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield module, alias.name


def _executed(tree: ast.AST) -> Iterable[ast.AST]:
    """Every node of a tree, without what stands under `if TYPE_CHECKING`: only type checkers read that."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"
