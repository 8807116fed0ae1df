import pytest
import yaml
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML

from flows.engine import yaml_text

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
