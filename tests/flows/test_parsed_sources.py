import sys

import pytest

from flows.engine import fingerprint
from flows.engine.parsed_sources import ParsedSources


@pytest.fixture
def parser(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "parser.py").write_text("1")
    return tmp_path / "parser.py"


def kept(parser):
    return next(parser.parent.glob("__pycache__/*.json"), None)


def test_results_are_kept_until_the_parser_changes(parser):
    sources = ParsedSources(str(parser))
    assert sources.get("a") is None
    sources.add("a", ["digest", [["json", ""]]])
    sources.write()
    assert ParsedSources(str(parser)).get("a") == ["digest", [["json", ""]]]
    parser.write_text("2")
    assert ParsedSources(str(parser)).get("a") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"parser": 1, "texts": 2}'])
def test_a_damaged_file_is_made_again(parser, content):
    ParsedSources(str(parser)).write()
    assert kept(parser) is None  # nothing is known, nothing is written
    sources = ParsedSources(str(parser))
    sources.add("a", 1)
    sources.write()
    kept(parser).write_text(content)
    assert ParsedSources(str(parser)).get("a") is None


def test_where_python_writes_no_bytecode_it_is_kept_in_the_users_cache(parser, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sources = ParsedSources(str(parser))
    sources.add("a", 1)
    sources.write()
    assert kept(parser) is None and len(list((tmp_path / "cache" / "prior3d").glob("parsed-*.json"))) == 1
    assert ParsedSources(str(parser)).get("a") == 1


def test_where_nothing_can_be_written_nothing_is_kept(parser, monkeypatch, tmp_path):
    (tmp_path / "__pycache__").touch()
    (tmp_path / "cache").touch()
    sources = ParsedSources(str(parser))
    sources.add("a", 1)
    sources.write()
    assert ParsedSources(str(parser)).get("a") is None


def test_a_digest_is_the_same_parsed_or_kept(parser, monkeypatch):
    def digest():
        fingerprint._parse.cache_clear()
        return fingerprint.fingerprint("flows.engine.results"), fingerprint.libraries("flows.engine.results")

    monkeypatch.setattr(fingerprint, "_parsed_sources", lambda: ParsedSources(str(parser)))
    parsed = digest()
    sources = ParsedSources(str(parser))
    monkeypatch.setattr(fingerprint, "_parsed_sources", lambda: sources)
    assert digest() == parsed
    monkeypatch.setattr(fingerprint, "_parsed_sources", lambda: ParsedSources(str(parser)))
    monkeypatch.setattr(fingerprint, "_parse_text", None)  # nothing is left to parse
    assert digest() == parsed
