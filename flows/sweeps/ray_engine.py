"""Tasks on a Ray cluster: whole runs, by Ray itself.

Not by prefect-ray, for the reason that `dask_engine` names; it would also install forty more packages.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flows.sweeps.task import Answer, Task, carry_out_task, code_of_prior3d
from prior3d.errors import Prior3dError

ANSWER_S = 120.0  # a machine starts a process first
LOOK_S = 2.0  # between two looks at which machines there are
RETRIES = 3  # after a worker died
STOP_S = 45.0


def on_worker(task: Task) -> tuple[str, Answer]:
    """Make a run on this machine; Ray interrupts it when the sweep is stopped."""
    return ray.get_runtime_context().get_node_id(), carry_out_task(task, lambda: False)


def version_here() -> str:
    """The digest of this machine's prior3d."""
    return code_of_prior3d()


class RayEngine:
    """A Ray cluster.

    Args:
        address: of its head, `auto` for the one that runs here; empty for one that ends with the sweep.
        stop_name: is not needed: Ray interrupts tasks itself.
        warn: receives a line about each machine that is refused.

    Raises:
        Prior3dError: no cluster answers.
    """

    def __init__(self, address: str, stop_name: str, warn: Callable[[str], None]) -> None:
        self._warn = warn
        try:
            ray.init(address=address or "local", namespace="prior3d", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            text = " ".join(str(error).split())[:160]
            raise Prior3dError(
                f"--on ray:{address}: no cluster answers ({text}); start one with: ray start --head"
            ) from None
        self._run = ray.remote(max_retries=RETRIES, retry_exceptions=False)(on_worker)
        self._ask = ray.remote(num_cpus=0, max_retries=0)(version_here)
        self._known: dict[str, bool] = {}  # machine -> whether it has this version
        self._problems: dict[str, str] = {}
        self._looked = -LOOK_S

    def slots(self) -> int:
        """How many tasks can run at once."""
        return sum(self._places(node) for node in self._nodes() if self._known.get(node["NodeID"]))

    def submit(self, task: Task) -> Any:
        """Begin a task."""
        nodes = self._nodes()
        refused = [node["NodeID"] for node in nodes if not self._known.get(node["NodeID"])]
        apart = {"label_selector": {"ray.io/node-id": f"!in({','.join(refused)})"}} if refused else {}
        gpus = 1 if any(node["Resources"].get("GPU") for node in nodes) else 0
        return self._run.options(num_cpus=1, num_gpus=gpus, name=task.name, **apart).remote(task)

    def result(self, handle: Any) -> tuple[str, Answer] | None:
        """What came of a task."""
        ready, _ = ray.wait([handle], timeout=0)
        if not ready:
            return None
        try:
            found: tuple[str, Answer] = ray.get(handle)
        except RayError as error:
            text = " ".join(str(error).split())[:200]
            raise Prior3dError(f"Ray gave it up ({type(error).__name__}: {text})") from None
        return found

    def refuse(self, worker: str) -> None:
        """Give a machine no more tasks."""
        self._known[worker] = False

    def close(self, handles: list[Any]) -> None:
        """Stop tasks that run, and let the cluster go."""
        for handle in handles:
            ray.cancel(handle)
        if handles:
            ray.wait(handles, num_returns=len(handles), timeout=STOP_S)
        ray.shutdown()

    def _nodes(self) -> list[dict[str, Any]]:
        """The machines that live; new ones are asked which version they have (raises Prior3dError if none fits)."""
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if time.monotonic() - self._looked > LOOK_S:
            new = [node["NodeID"] for node in nodes if node["NodeID"] not in self._known]
            self._known |= {node: self._fits(node) for node in new}
            self._looked = time.monotonic()
        if not any(self._known.get(node["NodeID"]) for node in nodes):
            said = "; ".join(dict.fromkeys(self._problems.values())) or "it has no machine"
            raise Prior3dError(f"the Ray cluster has nobody for these rows: {said}; the same command goes on")
        return nodes

    def _fits(self, node: str) -> bool:
        own, affinity = code_of_prior3d(), NodeAffinitySchedulingStrategy(node, soft=False)
        try:
            code = ray.get(self._ask.options(scheduling_strategy=affinity).remote(), timeout=ANSWER_S)
        except RayError as error:
            code = " ".join(str(error).split())[:120]
        if code != own:
            self._problems[node] = f"machine {node[:12]} has another version of prior3d ({code}; here {own})"
            self._warn(f"{self._problems[node]}: it gets no rows")
        return bool(code == own)

    def _places(self, node: dict[str, Any]) -> int:
        resources = node["Resources"]
        return int(resources.get("GPU") or resources.get("CPU") or 0)
