"""What hatch asks when it builds: an editable install reads the embedded priors where they lie, and copies none."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Editable(BuildHookInterface):  # type: ignore[type-arg]
    """Leaves the 69 MB of priors out of editable installs; a wheel has them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before each build."""
        if version == "editable":  # an empty list would mean what a wheel has
            build_data["force_include_editable"] = {"prior3d/py.typed": "prior3d/py.typed"}
