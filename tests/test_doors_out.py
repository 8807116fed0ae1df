"""Pages, the terminal, paths: each has one door that checks or escapes; whoever takes another needs a reason here."""

import ast
import re

import pytest

from tests.test_doors import ROOT, calls, modules

TEMPLATES = sorted(file for floor in ("flows", "stages") for file in (ROOT / floor).rglob("*.j2"))
SCRIPTS = sorted(file for file in (ROOT / "flows").rglob("*.js") if not file.name.endswith(".min.js"))
TAG = re.compile(r"</?[a-zA-Z]+[\s>/]")
TAGS = {
    "flows/api.py": "a frame, whose content is escaped",
    "prior3d/diffusion/concepts.py": "a word's end in a vocabulary",
    "prior3d/diffusion/known_words.py": "a word's end in a vocabulary",
}
PRINTS = {
    "flows/engine/forkserver.py": "a stage's own output",
    "flows/commands/versions.py": "a question of this project's words",
    "flows/commands/remove.py": "a question of this project's words",
    "flows/progress.py": "texts that `_cleaned` has escaped",
    "flows/terminal.py": "the door",
}
INSIDE = ("resolved_inside", "lies_inside", "climbs", "named_file", "_is_there", "file_of")
PATHS = {  # who makes a place of a path that a lock, a record, a list of the cache or a capture names, and how it asks
    "prior3d/diffusion/folders.py": "resolved_inside",
    "prior3d/capture_files.py": "_is_there",
    "prior3d/captures/co3d.py": "file_of",
    "stages/artifacts/capture.py": "named_file",
    "flows/run_again.py": "climbs",
    "flows/engine/run_files.py": "climbs",
    "flows/engine/record.py": "climbs",
    "flows/engine/run.py": "resolved_inside",
    "flows/engine/dvc_store.py": "resolved_inside",
    "flows/engine/seen_states.py": "lies_inside",
    "flows/verification/contents.py": "lies_inside",
    "flows/versions/history.py": "climbs",
}
CHECKED = {  # who gets such paths from one of those above, compares them as words, or made them itself
    "flows/commands/status.py": "shows",
    "flows/engine/declaration.py": "`read_method` refuses inputs outside",
    "flows/engine/dvc_results.py": "`_check_outputs` comes first; a stage's declared outputs",
    "flows/engine/forecast.py": "compares",
    "flows/engine/forkserver.py": "this process's own module path",
    "flows/engine/plan.py": "compares",
    "flows/provenance/reproduction.py": "compares",
    "flows/provenance/statement.py": "compares",
    "flows/provenance/tracing.py": "compares",
    "flows/provenance/whence.py": "shows",
    "flows/studio/forms.py": "what a person typed",
    "flows/studio/server.py": "`Uploads.take_part` asks",
    "flows/verification/priors.py": "the dvc.lock of this package",
    "flows/verification/verify.py": "compares",
    "stages/training/gather_runs/stage.py": "compares",
    "flows/versions/comparison.py": "compares",
    "flows/versions/drawings.py": "compares",
    "flows/versions/images.py": "`read_record` refuses inputs outside",
    "flows/versions/objects.py": "`Version.files` refuses what climbs",
    "flows/versions/restoring.py": "`read_record` refuses inputs outside",
    "flows/versions/tables.py": "compares",
}
NAMED = re.compile(
    r"""\[["'](path|relpath|file|file_path|mask_path)["']\]|get\(["'](path|relpath|file|weight_map)["']|\bfs_path\b"""
)


def keywords(module_source, name):
    """The keywords of every call of a function in a module."""
    found = (node for node in ast.walk(ast.parse(module_source)) if isinstance(node, ast.Call))
    return [{w.arg: ast.unparse(w.value) for w in node.keywords} for node in found if ast.unparse(node.func) == name]


def test_every_environment_of_templates_escapes():
    found = {name: keywords(source, "Environment") for name, source in modules().items()}
    makers = {name for name, each in found.items() if each}
    assert makers == {"flows/versions/render.py", "flows/studio/page.py", "stages/evaluation/report.py"}
    assert all(words.get("autoescape") == "True" for each in found.values() for words in each)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_a_template_calls_only_its_own_words_safe(template):
    text = template.read_text(encoding="utf-8")
    assert text.count("safe") >= len(re.findall(r"\|\s*safe\b", text))
    own = re.findall(r"""("[^"]*"|'[^']*')\s*\|\s*safe\b""", text)
    assert len(own) == len(re.findall(r"\|\s*safe\b", text)) and "autoescape false" not in text


def test_markup_is_made_of_this_projects_words():
    """`Markup("...").format(value)` escapes the value; `Markup(value)` and an f-string would not."""
    found = [
        (name, node)
        for name, source in modules().items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Markup" and node.args
    ]
    other = {name for name, node in found if not isinstance(node.args[0], ast.Constant)}
    assert len(found) > 5 and other == {"flows/versions/render.py"}  # a file of the package


def test_nobody_writes_tags_round_values():
    found = {
        name
        for name, source in modules().items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.JoinedStr)
        and any(isinstance(part, ast.Constant) and TAG.search(str(part.value)) for part in node.values)
    }
    assert found == set(TAGS)
    assert "html.escape" in calls(modules()["flows/api.py"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_scripts_make_no_html_of_text(script):
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not re.search(ways, script.read_text(encoding="utf-8"))


def test_the_terminal_has_one_door():
    pattern = re.compile(r"(^|\.)print$|^sys\.(stdout|stderr)\.write$")
    found = {n for n, s in modules().items() if n.startswith("flows/") and any(pattern.search(c) for c in calls(s))}
    assert found == set(PRINTS)


def test_every_path_that_others_name_is_asked_about():
    found = {name for name, source in modules().items() if NAMED.search(source)}
    assert found == set(PATHS) | set(CHECKED)
    for name, function in PATHS.items():
        called = {call.rpartition(".")[2] for call in calls(modules()[name])}
        assert function in called and function in INSIDE, name


def test_nobody_asks_in_another_way_whether_a_path_lies_inside():
    own = re.compile(r"is_relative_to|commonpath|\"\.\.\" (not )?in|is_absolute\(")
    assert {name for name, source in modules().items() if own.search(source)} == {
        "prior3d/inside.py",
        "prior3d/capture_files.py",  # by letters, before a file is looked for
        "prior3d/captures/co3d.py",  # takes the first folder off a name
        "flows/verification/findings.py",  # shows places relative to the project
        "flows/sweeps/cluster.py",  # which of a person's files workers can see
        "flows/versions/collection.py",  # whether the cache is the project's own
        "flows/commands/remote.py",  # whether a remote lies in the cache
        "flows/engine/run.py",  # a run's name
    }
