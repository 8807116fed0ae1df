"""Documents that cannot go stale: links, paths, command lines and parameters exist; words are plain.

What is checked: README, CONTRIBUTING, CHANGELOG and all of docs/. Nothing that they name is run.
"""

import argparse
import re
import shlex
from itertools import chain
from pathlib import Path

import pytest

from flows.cli import OVERVIEW
from flows.commands import PLACES
from flows.engine.parameters import resolve, split_switches
from flows.methods import METHODS, find_method
from flows.reference import stage_reference
from flows.request import parser_for
from prior3d.errors import Prior3dError
from prior3d.toyworld.palette import COLOURS
from prior3d.toyworld.shapes import CATEGORIES
from stages.contract.parameters import settings_fields

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")] + sorted(
    ROOT.glob("docs/**/*.md")
)
HISTORY = {"CHANGELOG.md"}  # names what was, so its parameters may be gone
STAGES = {stage.name: stage for method in METHODS.values() for stage in method.stages}
SETTING = re.compile(r"^(?P<stage>[a-z0-9_]+)\.(?P<name>[a-z0-9_.]+?)(?P<value>=\S+)?$")
SUFFIXES = (".png", ".obj", ".json", ".yaml", ".md", ".py", ".glb", ".html", ".lock", ".txt", ".mp4")
ROOMS = ("prior3d/", "stages/", "flows/", "benchmarks/", "tests/", "docs/")

# Phrases that a native engineer has to read twice, or words that the field does not use.
FORBIDDEN = (
    r"\banew\b",
    r"\bsuch a share\b",
    r"\bof before\b",
    r"\bthat of\b",
    r"\bof (its|theirs) (is|are|was|were)\b",
    r"\bhold that\b",
    r"\bwhat stands\b",
    r"\bre-?makes?\b|\bre-?made\b",
    r"\bpictures?\b",
    r"\bphotographs?\b",
)
# Legitimate uses: the name of a page, and a sentence that CLIP was trained on.
EXCEPTIONS = {r"\bpictures?\b": ("pictures_on_meshes", "a picture of a {}")}
# Declarations whose help texts are not plain yet; take one out when it is.
NOT_PLAIN_YET: set[str] = set()


def prose(document):
    """A document's text without code blocks, addresses of links, and inline code."""
    text = document.read_text(encoding="utf-8")
    text = re.sub(r"^(    .*|```.*?^```)$", "", text, flags=re.M | re.S if "```" in text else re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return re.sub(r"`[^`]*`", "`", text)


def inline_code(document):
    """Everything between backticks."""
    return re.findall(r"`([^`\n]+)`", document.read_text(encoding="utf-8"))


def command_lines(document):
    """Command lines of prior3d in code blocks and between backticks, as words behind `prior3d`."""
    text = document.read_text(encoding="utf-8")
    blocks = [line.strip().removeprefix("$ ") for line in text.splitlines() if line.startswith("    ")]
    for line in chain(blocks, inline_code(document)):
        for part in line.split("&&"):
            words = part.strip().removeprefix(".venv/bin/")
            if re.match(r"prior3d( [a-z-]|$)", words):
                yield shlex.split(words, comments=True)[1:]


def anchors(document):
    """The anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document):
    """Where a document points: relative targets of links, images and <img>."""
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def problems_of_link(document, target):
    """What is wrong with one link; empty when nothing is."""
    path, _, anchor = target.partition("#")
    place = (document.parent / path).resolve() if path else document
    if not place.exists():
        return f"{target}: there is no such file"
    if anchor and anchor not in anchors(place):
        return f"{target}: {place.name} has no heading of this name"
    return ""


def problems_of_command(words):
    """What is wrong with a command line; empty when nothing is."""
    if not words or words[0] in ("COMMAND", "--help"):
        return ""
    command, rest = words[0], words[1:]
    if command not in PLACES:
        return f"there is no command {command!r}"
    if command in ("run", "plan") and rest and (command == "run" or rest[0] in METHODS):
        return problems_of_run(command, rest)
    module = PLACES[command].partition(":")[0].replace(".", "/")
    source = "".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / module).parent.glob(f"{Path(module).name}*.py"))
    )
    if command in ("priors", "server") and rest and f'"{rest[0]}"' not in source:
        return f"{command} knows no {rest[0]!r}"
    options = [word.partition("=")[0] for word in rest if word.startswith("--")]
    missing = [option for option in options if f'"{option}"' not in source]
    return f"{command} has no option {', '.join(missing)}" if missing else ""


def problems_of_run(command, rest):
    """What is wrong with `run METHOD ...`: its options, and the names and values of its parameters."""
    if rest[0] in ("METHOD", "NAME", "RUN", "--from", "mug"):  # the last is the run of the examples
        return ""
    try:
        method = find_method(rest[0])
        if "--help" in rest:
            return ""
        given = parser_for(method, command).parse_args(rest[1:])
        named = [i.name for i in method.inputs if getattr(given, f"input_{i.name}")]
        chosen, sets = split_switches(method, given.set, named)
        resolve(chosen, given.preset or "toy", given.seed, sets)
    except (Prior3dError, argparse.ArgumentError) as error:
        return str(error)
    return ""


def problems_of_setting(words):
    """What is wrong with `stage.parameter` or `stage.parameter=value ...`, read in the stage itself."""
    parts = [SETTING.match(word) for word in words.split()]
    if not parts or any(part is None or part["stage"] not in STAGES for part in parts) or words.endswith(SUFFIXES):
        return ""
    for part in parts:
        if wrong := unknown_parameter(part["stage"], part["name"]):
            return wrong
    valued = [part.string for part in parts if part["value"]]
    names = {part["stage"] for part in parts}
    method = next((m for m in METHODS.values() if names <= {s.name for s in m.stages}), None)
    if not valued or method is None:
        return ""
    try:
        resolve(method, "toy", None, [text for text in valued if "..." not in text])
    except Prior3dError as error:
        return str(error)
    return ""


def unknown_parameter(stage, name):
    """A sentence about a parameter that does not exist; empty for one that does."""
    model = STAGES[stage].load().Params
    kind = model
    for part in name.split("."):
        fields = settings_fields(kind)
        if part not in fields:
            now = model.renamed.get(name)
            return f"{stage}.{name} is now {stage}.{now}" if now else f"{stage}.{name}: there is no such parameter"
        kind = fields[part].annotation
    return ""


def old_names():
    """Names that parameters had, and that nothing has now: stages' `renamed` without today's names and inputs."""
    models = {stage.load().Params for stage in STAGES.values()}

    def leaves(kind):
        fields = settings_fields(kind)
        return set(fields) | set(chain.from_iterable(leaves(info.annotation) for info in fields.values()))

    today = set(chain.from_iterable(leaves(model) for model in models))
    given = {declared.name for method in METHODS.values() for declared in method.inputs}
    return set(chain.from_iterable(model.renamed for model in models)) - today - given


def phrases(text):
    """Forbidden phrases in a text, with what stands around them."""
    found = []
    for pattern in FORBIDDEN:
        for match in re.finditer(pattern, text, flags=re.I):
            around = text[max(0, match.start() - 30) : match.end() + 30].replace("\n", " ")
            if not any(allowed in around for allowed in EXCEPTIONS.get(pattern, ())):
                found.append(around)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
class TestDocument:
    def test_links_and_images_exist(self, document):
        assert [p for target in links(document) if (p := problems_of_link(document, target))] == []

    def test_paths_of_the_project_exist(self, document):
        if document.name in HISTORY:
            pytest.skip("names files that were")
        named = {code.partition(" ")[0].rstrip(":") for code in inline_code(document) if code.startswith(ROOMS)}
        gone = [name for name in sorted(named) if not re.search(r"[A-Z]{3,}|\*", name) and not (ROOT / name).exists()]
        assert gone == []

    def test_command_lines_parse(self, document):
        assert [p for words in command_lines(document) if (p := problems_of_command(words))] == []

    def test_parameters_exist(self, document):
        if document.name in HISTORY:
            pytest.skip("names parameters that were")
        code = inline_code(document)
        assert [p for words in code if (p := problems_of_setting(words))] == []
        assert sorted(old_names() & set(code)) == []

    def test_benchmarks_have_the_options(self, document):
        for command in re.findall(r"python (benchmarks/[a-z0-9_]+\.py[^`\n]*)", document.read_text(encoding="utf-8")):
            file, *rest = shlex.split(command, comments=True)
            source = (ROOT / file).read_text(encoding="utf-8")
            assert [word for word in rest if word.startswith("--") and f'"{word}"' not in source] == [], command

    def test_words_are_plain(self, document):
        if document.name in HISTORY:
            pytest.skip("entries of earlier waves stay as they were written")
        assert phrases(prose(document)) == []


def test_the_list_of_what_the_toy_priors_know_is_whole():
    text = (ROOT / "docs/priors.md").read_text(encoding="utf-8")
    listed = text.partition("kinds of objects")[2].partition("| prior")[0]
    assert [name for name in [*(c.noun for c in CATEGORIES), *COLOURS] if not re.search(rf"\b{name}\b", listed)] == []
    assert f"{len(CATEGORIES)} kinds" in text


def test_every_stage_and_method_is_in_a_guide():
    text = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md"))
    assert [name for name in METHODS if f"run {name} " not in text] == []
    assert [name for name in STAGES if f"`{name}" not in text] == []


def help_texts():
    """Every help text by the name of what it helps with."""
    texts = {"overview": OVERVIEW} | {name: stage_reference(stage) for name, stage in STAGES.items()}
    for method in METHODS.values():
        texts[method.name] = "\n".join([texts.get(method.name, ""), method.summary, *(i.help for i in method.inputs)])
    for name, text in sorted(texts.items()):
        marks = [pytest.mark.xfail(reason="not plain yet", strict=False)] if name in NOT_PLAIN_YET else []
        yield pytest.param(text, id=name, marks=marks)


@pytest.mark.parametrize("text", help_texts())
def test_help_texts_are_plain(text):
    assert phrases(text) == []


class TestTheChecksThemselves:
    """A check that cannot fail would be worth nothing."""

    @pytest.mark.parametrize(
        "words, message",
        [
            ("make latent-nerf", "no command 'make'"),
            ("run latent-neft --prompt x", "latent-nerf"),
            ("run latent-nerf --promt x", "--prompt"),
            ("run latent-nerf --prompt x --set coarse_nerf.stepz=3", "coarse_nerf.steps"),
            ("run latent-nerf --prompt x --set coarse_nerf.guidance_scale=3", "coarse_nerf.sds.guidance_scale"),
            ("run latent-nerf --prompt x --set coarse_nerf.steps=-1", "greater than or equal to 1"),
            ("log mug --jsonn", "no option --jsonn"),
            ("priors lok", "knows no 'lok'"),
        ],
    )
    def test_a_wrong_command_line_is_seen(self, words, message):
        assert message in problems_of_command(words.split())

    def test_a_wrong_parameter_is_seen(self):
        assert problems_of_setting("coarse_nerf.guidance_scale").endswith("is now coarse_nerf.sds.guidance_scale")
        assert "no such parameter" in problems_of_setting("coarse_nerf.sds.guidance")
        assert "above timestep_max" in problems_of_setting("coarse_nerf.sds.timestep_min=0.99")
        assert problems_of_setting("coarse_nerf.sds.guidance_scale=7.5 coarse_nerf.steps=10") == ""

    def test_a_broken_link_is_seen(self):
        assert problems_of_link(ROOT / "README.md", "docs/nothing.md") == "docs/nothing.md: there is no such file"
        assert "no heading" in problems_of_link(ROOT / "README.md", "docs/priors.md#nothing")

    def test_a_hard_phrase_is_seen(self):
        assert phrases("Everything is made anew.") == ["Everything is made anew."]

    def test_what_is_looked_at_is_not_empty(self):
        commands = [words for document in DOCUMENTS for words in command_lines(document)]
        settings = [words for document in DOCUMENTS for words in inline_code(document) if SETTING.match(words)]
        assert len(commands) > 40 and len(settings) > 60 and sum(len(links(d)) for d in DOCUMENTS) > 60
