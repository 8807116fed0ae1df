"""What somebody else may have written is read at few doors; whoever parses by another way needs a reason here."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARSERS = {
    "JSON": (
        r"(^|\.)json\.loads?$",
        {
            "prior3d/limits.py": "the door",
            "flows/engine/declaration.py": "content that this process has just made",
            "flows/engine/execution.py": "a stage's progress lines",
            "flows/flow_parameters.py": "content that this process has just made",
            "flows/engine/forkserver.py": "messages of this process's own server",
            "stages/training/datasets/tokenizer.py": "text of a tokenizer that was just trained",
        },
    ),
    "YAML and TOML": (
        r"(^yaml\.\w*load\w*|tomllib\.loads?)$",
        {
            "stages/contract/yaml_text.py": "the door",
            "flows/engine/project.py": "the project's pyproject.toml",
            "flows/engine/server.py": "the person's Prefect profiles",
        },
    ),
    "images": (
        r"(^|\.)Image\.open$",
        {
            "prior3d/images/opening.py": "the door",
            "prior3d/meshes/files.py": "a PNG that was just written",
        },
    ),
    "what unpacks": (
        r"(^|\.)(gzip|zlib|bz2|lzma|tarfile|zipfile)\.",
        {
            "prior3d/limits.py": "the door",
            "flows/versions/export.py": "writes a ZIP",
            "flows/provenance/containers.py": "the checksum of a PNG's chunk",
            "prior3d/splats/spz_file.py": "writes an SPZ",
            "prior3d/realobjects/fetching.py": "a package whose hash was checked",
            "prior3d/realobjects/catalogue.py": "a library whose hash was checked",
            "prior3d/realobjects/chosen.py": "a library whose hash was checked",
        },
    ),
    "what could run code": (r"(^|\.)(pickle|joblib|marshal|shelve|dill)\.|torch\.load$|^eval$|^exec$", {}),
    "text of a run": (
        r"\.read_text$",
        {
            "flows/engine/project.py": "the project's pyproject.toml",
            "flows/engine/server.py": "the person's Prefect profiles",
            "flows/versions/render.py": "a file of the package",
            "stages/contract/job.py": "the prompt, which was checked",
            "stages/dataset_update/stage.py": "the instruction, which was checked",
        },
    ),
}
CAPTURES = {  # who turns a path out of a capture into a file, and by which function
    "prior3d/captures/reading.py": "named_file",
    "prior3d/captures/colmap.py": "named_file",
    "prior3d/captures/co3d.py": "named_file",
    "stages/artifacts/capture.py": "named_file",
}


def calls(source: str) -> set[str]:
    """What a module calls, as it is written there."""
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}


def modules() -> dict[str, str]:
    """Every module of the three floors with its source."""
    files = (file for floor in ("prior3d", "stages", "flows") for file in (ROOT / floor).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


@pytest.mark.parametrize("kind", PARSERS)
def test_who_parses(kind):
    pattern, reasons = PARSERS[kind]
    found = {name for name, source in modules().items() if any(re.search(pattern, call) for call in calls(source))}
    assert found == set(reasons)


def test_paths_out_of_captures_are_held_inside():
    """Whoever reads `file_path`, `mask_path` or an image's name from a capture asks whether it lies inside."""
    key = re.compile(r"""(\[|get\()["'](file_path|mask_path)["']|image\.name\b.*folder|\[kind\]\["path"\]""")
    readers = {name for name, source in modules().items() if key.search(source) and "captures" in name}
    assert readers <= set(CAPTURES) | {"prior3d/captures/co3d.py"}
    for name, function in CAPTURES.items():
        assert function in calls(modules()[name]), name


def test_a_parser_is_found():
    source = "import json\nimport numpy as np\njson.loads(x)\nImage.open(y)\ngzip.open(z)\npath.read_text()\neval(a)"
    for kind, call in (("JSON", "json.loads"), ("images", "Image.open"), ("what could run code", "eval")):
        assert call in calls(source) and re.search(PARSERS[kind][0], call)
