"""Bring real objects here, choose the single solid ones, and write down whom they are from and which are held out."""

from pydantic import Field

from stages.contract.parameters import StageParams


class Params(StageParams):
    """Where the models come from."""

    source: str = Field("", description="Debian's package or a folder with it; empty: apt downloads it")


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS: dict = {}
OUTPUT = None
FOLDER = "data/objects"
CREDITS = "CREDITS.md"
