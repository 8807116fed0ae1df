import pytest
import yaml
from dvc.utils.serialize import dumps_yaml

from flows.engine import yaml_text


@pytest.mark.parametrize("value", [1e-06, 1.5e-07, -2e10, 1e-15, 0.5, 3, "1e", "e5", "1-2", None, True, [1e-06, 2]])
def test_what_dvc_or_pyyaml_writes_is_read_back(value):
    for text in (dumps_yaml({"a": value}), yaml.safe_dump({"a": value})):
        found = yaml_text.load(text)["a"]
        assert found == value and type(found) is type(value)
