"""Results of the cache are taken only for the parameters that they were made with, whatever those are called."""

import pytest


@pytest.mark.parametrize("name", ["size", "nfiles", "height"])
def test_a_parameter_of_any_name_is_part_of_the_key(fake, name):
    """DVC leaves `size` and `nfiles` out of its keys, as they stand beside md5s in its locks; parameters too."""
    fake.edit("counting/__init__.py", "    steps: int", f'    {name}: int = Field(1, description="x")\n    steps: int')
    fake.edit("counting/stage.py", '"{job.prompt} ', f'"{{job.prompt}} {{params.{name}}} ')
    fake.run("--set", f"counting.{name}=128")
    assert fake.text("counting").startswith("one two 128")
    out = fake.run("--set", f"counting.{name}=64")[1]
    assert fake.outcomes(out)["counting"] == "Completed" and fake.text("counting").startswith("one two 64")
    for value in (128, 64, 128):  # in any order, the one that was made with it
        out = fake.run("--set", f"counting.{name}={value}", name="other")[1]
        assert fake.outcomes(out)["counting"] == "Restored"
        assert fake.text("counting", "other").startswith(f"one two {value}")
