"""Tells what kind of process it runs in."""

from typing import Literal

from pydantic import Field

from stages.contract.parameters import StageParams


class Params(StageParams):
    end: Literal["", "user", "killed", "crash", "waits"] = Field("", description="how to end")


INPUTS = {}
OUTPUT = None
