"""The runs of a sweep as flow runs of deployments: a worker of a Prefect work pool makes them (`prior3d deploy`).

The worker works in this project's folder, so nothing has to come back.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling

from flows.engine.dvc_store import DvcStore
from flows.engine.project import Project
from flows.flow_parameters import parameters_of
from flows.request import Request
from flows.sweeps.running import DONE, FAILED, State, is_done
from prior3d.errors import Prior3dError

LOOK_S = 1.0
NOBODY_S = 60.0  # without a worker that is alive; a worker tells every 30 s that it is
STOP_S = 45.0
AT_ONCE = 10  # where the pool has no limit of its own
NOT_HERE = "its flow run ended, but the run here is not what the row asks for; the worker needs this folder and version"


@dataclass
class Live:
    """A flow run that has not ended."""

    number: Any
    state: State
    waits: bool = True


class PrefectPool:
    """The work pool that deployments of the sweep's methods belong to.

    Args:
        project: the project.
        client: of the server; None for the one that the environment names.
    """

    def __init__(self, project: Project, client: SyncPrefectClient | None = None) -> None:
        self._project, self._open = project, contextlib.ExitStack()
        self._client: Any = client or self._open.enter_context(get_client(sync_client=True))
        self._live: list[Live] = []
        self._deployed: dict[str, Any] = {}
        self._limit, self._looked, self._had_one = 1, -LOOK_S, time.monotonic()

    def free(self) -> int:
        """How many more runs can begin."""
        return self._limit - len(self._live)

    def begin(self, state: State) -> None:
        """Ask for a flow run (raises Prior3dError if the method is not deployed)."""
        method, request = state.wanted.method.name, state.wanted.request
        if request is None:
            raise Prior3dError(f"{state.wanted.name}: it is done")
        if method not in self._deployed:
            self._deployed[method] = self._found(method)
        deployment, given = self._deployed[method], values_of(request, self._project)
        asked = self._client.create_flow_run_from_deployment(deployment.id, parameters=given, name=state.wanted.name)
        self._live.append(Live(asked.id, state))

    def ended(self) -> list[State]:
        """The runs that ended since, with how."""
        if time.monotonic() - self._looked < LOOK_S:
            return []
        self._looked, over = time.monotonic(), list[State]()
        for live in list(self._live):
            found = self._client.read_flow_run(live.number)
            if found.state is not None and found.state.is_final():
                self._live.remove(live)
                self._end(live.state, found)
                over.append(live.state)
            else:
                live.waits = found.state is None or not found.state.is_running()
        self._somebody_lives()
        return over

    def close(self) -> None:
        """Leave no run behind: those that run save their checkpoints, those that wait are taken back."""
        with self._open:
            for live in self._live:
                self._client.set_flow_run_state(live.number, Cancelled() if live.waits else Cancelling())
            until = time.monotonic() + STOP_S
            left = [live.number for live in self._live if not live.waits]
            while left and time.monotonic() < until:
                time.sleep(LOOK_S)
                left = [number for number in left if not self._client.read_flow_run(number).state.is_final()]

    def _found(self, method: str) -> Any:
        try:
            deployment = self._client.read_deployment_by_name(f"{method}/prior3d")
        except ObjectNotFound:
            raise Prior3dError(
                f"--on prefect: {method} is not deployed; type: prior3d deploy {method} --serve"
            ) from None
        pool = self._client.read_work_pool(deployment.work_pool_name)
        self._limit = pool.concurrency_limit or AT_ONCE
        return deployment

    def _end(self, state: State, found: Any) -> None:
        state.seconds, ended, request = found.total_run_time.total_seconds(), found.state, state.wanted.request
        if ended.is_cancelled():
            state.problem = "it was cancelled on Prefect's pages"
        elif not ended.is_completed():
            said = " ".join(str(ended.message or ended.name).split())
            state.problem = said.removeprefix("Flow run encountered an exception: ")[:300]
        elif request is not None and not is_done(DvcStore(self._project.root), request):
            state.problem = NOT_HERE
        state.state = FAILED if state.problem else DONE

    def _somebody_lives(self) -> None:
        """Raises Prior3dError if runs wait, and no worker of the pool has been alive for a while."""
        pools = {d.work_pool_name for d in self._deployed.values()}
        workers = [w for pool in pools for w in self._client.read_workers_for_work_pool(pool)] if self._live else []
        if not self._live or any(str(worker.status.value).upper() == "ONLINE" for worker in workers):
            self._had_one = time.monotonic()
        elif all(live.waits for live in self._live) and time.monotonic() - self._had_one > NOBODY_S:
            name = ", ".join(sorted(pools))
            how = f"prior3d deploy --serve --pool {name}"
            raise Prior3dError(
                f"nobody makes runs of the work pool {name}; start: {how}, and give the same command again"
            )


def values_of(request: Request, project: Project) -> dict[str, Any]:
    """The flow's parameters for a run, with paths that the worker finds from its own folder."""
    declaration, settings = request.declaration, request.settings
    values = parameters_of(declaration, request.run.name, str(settings.get("device", "auto")))
    priors = settings.get("priors") or {}
    for declared in declaration.method.inputs:
        content = declaration.inputs.get(declared.name)
        if isinstance(content, Path):
            values[declared.name] = str(content)
        elif declared.kind == "prior" and declared.name in values:
            values[declared.name] = str(priors.get(values[declared.name], values[declared.name]))
    return values | {"project": str(project.root)}
