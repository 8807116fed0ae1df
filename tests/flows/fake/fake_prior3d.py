"""The command line with the fake method in it: `python fake_prior3d.py run counting ...`."""

import sys

from flows import methods
from flows.engine.method import Input, Method, Stage


def fake_method(**changes) -> Method:
    stages = (
        Stage("counting", {"prompt": "prompt", "prior": "prior"}, module="fake_stages.counting", **changes),
        Stage("shouting", {"text": "counting"}, module="fake_stages.shouting"),
        Stage("echoing", {"text": "shouting"}, module="fake_stages.shouting", optional=True, otherwise="shouting"),
        Stage("joining", {"left": "counting", "right": "echoing"}, module="fake_stages.joining"),
    )
    inputs = (Input("prompt", "text", "what to count"), Input("prior", "prior", "a prior", default="toy"))
    return Method("counting-method", "counts", inputs, stages, example='prior3d run counting-method --prompt "x"')


if __name__ == "__main__":
    methods.METHODS["counting-method"] = fake_method()
    from flows.cli import main

    sys.exit(main())
