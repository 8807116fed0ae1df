import pytest
import yaml
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML

from stages.contract import yaml_text

NUMBERS = [1e-06, 1.5e-07, -2e10, 1e-15, 0.5, 3, -7, 0, 1e22, float("inf"), True, None, [1e-06, 2]]
TEXTS = ["", "1e", "e5", "1-2", "on", "off", "yes", "no", "y", "true", "null", "~", "012", "12:30:45", "1:20", "0x1F",
         "2026-01-01", ".5", "+1", "a: b", "=", "<<"]  # fmt: skip


@pytest.mark.parametrize("value", [*NUMBERS, *TEXTS])
def test_what_dvc_or_pyyaml_writes_is_read_back(value):
    for text in (dumps_yaml({"a": value}), yaml.safe_dump({"a": value})):
        found = yaml_text.load(text)["a"]
        assert found == value and type(found) is type(value), text


@pytest.mark.parametrize("value", [*NUMBERS, *TEXTS, "12e4567890123456", "1e3", "0x1f", "-.inf"])
def test_what_is_written_is_read_back_by_all(value):
    text = yaml_text.dump({"a": value})
    for read in (yaml_text.load, yaml.safe_load, YAML(typ="safe").load):
        found = read(text)["a"]
        assert found == value and type(found) is type(value), (text, read)


def test_what_a_person_types():
    found = yaml_text.load("[1_000, 0x10, .5, 1., 2e3, -.inf, {a: &a {b: 1}}, {<<: *a, c: on}]")
    assert found == [1000, 16, 0.5, 1.0, 2000.0, float("-inf"), {"a": {"b": 1}}, {"b": 1, "c": "on"}]
    with pytest.raises(yaml.YAMLError):
        yaml_text.load("[")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10)
)


@pytest.mark.parametrize("text", [BOMB, MERGE_BOMB, f"{{{BOMB.replace(chr(10), ', ')}}}"])
def test_aliases_that_stand_for_too_much(text):
    with pytest.raises(yaml.YAMLError, match="stand for more than 100,000 values"):
        yaml_text.load(text)


@pytest.mark.parametrize(
    "text", ["&a [*a]", "a: &a {b: *a}", "[*a]", "[1, 2", "a: b: c", "{" * 5000, "[" * 50_000 + "]" * 50_000]
)
def test_what_is_no_value(text):
    with pytest.raises(yaml.YAMLError):
        yaml_text.load(text)


def test_a_star_in_a_text_is_a_text():
    assert yaml_text.load("a: 2 * 3 *b* *c\nd: '*e'") == {"a": "2 * 3 *b* *c", "d": "*e"}


@pytest.mark.parametrize("text", ["2026-91-01", "2026-01-01", "0x", "1" * 5000])
def test_a_number_or_date_that_is_none(text):
    try:
        assert yaml_text.load(text) is not None
    except yaml.YAMLError as error:
        assert "digits" in str(error)


NESTED = ["[" * 100_000 + "]" * 100_000, "{a: " * 100_000 + "1" + "}" * 100_000, "- " * 100_000 + "a",
          "? " * 100_000 + "a", "\n".join(" " * n + "a:" for n in range(2000))]  # fmt: skip


@pytest.mark.parametrize("text", NESTED)
def test_nested_too_deep(text):
    """The loader is C code: it would take the process with it."""
    with pytest.raises(yaml.YAMLError, match="nested deeper than 100 levels|while|found|could not"):
        yaml_text.load(text)


def test_many_values_side_by_side_are_no_bomb():
    text = "".join(f"- {{a: [{n}, *x]}}\n" for n in range(30_000)).replace("*x", "1")
    assert len(yaml_text.load(f"- &x 1\n- *x\n{text}")) == 30_002
