import pytest

from flows.engine.method import Input, Method, Stage


@pytest.fixture
def boxes(fake, monkeypatch):
    """A project with the method `boxes`: a counted text, and a GLB with PNGs made from it; `fake.make` runs it."""
    from flows import methods

    stages = (
        Stage("counting", {"prompt": "prompt", "prior": "prior"}, module="fake_stages.counting"),
        Stage("picturing", {"text": "counting"}, module="fake_stages.picturing"),
    )
    inputs = (Input("prompt", "text", "what"), Input("prior", "prior", "a prior", default="toy"))
    monkeypatch.setitem(methods.METHODS, "boxes", Method("boxes", "boxes", inputs, stages))
    (fake.prior / "README.md").write_text("---\nlicense: openrail\ntags: [a]\n---\n# A prior\n")

    def make(name, prompt, red, *words):
        code, out, err = fake.cli("run", "boxes", "--prompt", prompt, "--name", name, "--prior", str(fake.prior),
                                  "--preset", "toy", "--set", f"picturing.red={red}", *words)  # fmt: skip
        assert code == 0, err
        return out

    fake.make = make
    return fake
