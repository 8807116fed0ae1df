"""The options of `run METHOD` and `plan METHOD`, made from the inputs that the method declares."""

import argparse

from flows.engine.method import Method
from flows.terminal import Parser

PRECISIONS = ("float32", "bfloat16", "float16")  # of prior3d.settings, which imports pydantic
ENGINES = ("torch", "openvino")  # of the same
PRESETS = ("toy", "paper", "turbo")


def option_of(name: str) -> str:
    """The option of a method's input."""
    return f"--{name.replace('_', '-')}"


def parser_for(method: Method, command: str, help_text: str = "") -> Parser:
    """The parser of a method's command line; `help_text` follows its options."""
    parser = Parser(
        prog=f"prior3d {command} {method.name}",
        description=f"{method.summary}\n\nexample: {method.example}" if method.example else method.summary,
        epilog=help_text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    inputs = parser.add_argument_group("inputs").add_argument
    for given in method.inputs:
        shown = "required" if given.default is None else f"default: {given.default or 'none'}"
        text = f"{given.help} ({shown})"
        inputs(option_of(given.name), dest=f"input_{given.name}", metavar=given.kind.upper(), help=text)
    run = parser.add_argument_group("the run").add_argument
    run("--name", help="the run's folder under data/runs (default: made from the prompt)")
    presets = (
        "parameters to start from (default: toy for an embedded prior, else paper; turbo: paper without guidance, for "
        "priors that were distilled to few steps)"
    )
    run("--preset", choices=PRESETS, help=presets)
    one = "change a parameter; may be repeated"
    run("--set", action="append", default=[], metavar="STAGE.PARAMETER=VALUE", help=one)
    run("--seed", type=int, help="seed of every stage (default: 0)")
    run("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    of_networks = "of the frozen priors' networks (default: auto, which is float16 on CUDA and float32 elsewhere)"
    run("--precision", choices=("auto", *PRECISIONS), default="auto", help=of_networks)
    of_unets = "what runs frozen U-Nets; openvino: on a CPU, needs the extra of that name (default: torch)"
    run("--engine", choices=ENGINES, default="torch", help=of_unets)
    how = parser.add_argument_group("how").add_argument
    how("--no-restore", action="store_true", help="compute every stage, even if the cache holds its result")
    how("--no-remote", action="store_true", help="neither take results from the project's remote nor put them there")
    how("--stop-after", default="", metavar="STAGE", help="make no stage after this one")
    how("--plain", action="store_true", help="no Prefect server, no live table")
    return parser
