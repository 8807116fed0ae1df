"""Deployments: methods that others start on Prefect's pages, made by a worker of a process work pool.

It and `orchestration` are the only files that import prefect.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound


def ensure_pool(name: str, limit: int) -> None:
    """Make a process work pool, if there is none of that name.

    Args:
        name: of the pool.
        limit: how many runs its workers make at once, all together.

    Raises:
        ValueError: the pool of that name is of another type.
    """
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=limit))
            return
    if found.type != "process":
        raise ValueError(f"it is of type {found.type!r}")


def deploy(flows: Iterable[Flow[..., Any]], pool: str, folder: Path) -> list[str]:
    """Deploy flows to a work pool; workers make their runs in a folder. Returns the names, as Prefect shows them."""
    names = []
    for made in flows:
        deployment: Any = RunnerDeployment.from_flow(
            made,
            name="prior3d",
            work_pool_name=pool,
            entrypoint_type=EntrypointType.MODULE_PATH,
            job_variables={"working_dir": str(folder)},
        )
        deployment.apply()
        names.append(f"{made.name}/prior3d")
    return names
