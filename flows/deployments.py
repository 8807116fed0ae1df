"""Deployments: methods that others start on Prefect's pages, made by a worker of a process work pool.

It, `as_flows`, `sweeps/prefect_pool` and `engine/orchestration` are the only files that import prefect.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound

from flows.as_flows import FLOWS
from prior3d.errors import Prior3dError


def ensure_pool(name: str, limit: int) -> None:
    """Make a process work pool, if there is none of that name.

    Args:
        name: of the pool.
        limit: how many runs its workers make at once, all together.

    Raises:
        Prior3dError: the pool of that name is of another type.
    """
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=limit))
            return
    if found.type != "process":
        raise Prior3dError(f"--pool {name}: it is of type {found.type!r}, and runs need a pool of type 'process'")


def deploy(methods: Iterable[str], pool: str, folder: Path) -> list[str]:
    """Deploy methods to a work pool; workers make their runs in a folder. Returns the names, as Prefect shows them."""
    names = []
    for method in methods:
        deployment: Any = RunnerDeployment.from_flow(
            FLOWS[method],
            name="prior3d",
            work_pool_name=pool,
            entrypoint_type=EntrypointType.MODULE_PATH,
            job_variables={"working_dir": str(folder)},
        )
        deployment.apply()
        names.append(f"{method}/prior3d")
    return names
