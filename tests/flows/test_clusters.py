"""Sweeps on a Dask and on a Ray cluster of two workers in two clones, with an S3 server as the remote; all on loopback.

Twelve rows on the toy prior; one worker is killed in the middle.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.flows.clusters import (
    BUCKET,
    KEYS,
    TOY,
    artifacts,
    clone,
    computations,
    done,
    environment,
    fake_rows,
    prior3d,
    worker_at,
)

pytestmark = pytest.mark.slow
WHOLE_S = 1500.0
FAKE = fake_rows()


@pytest.fixture(scope="module")
def endpoint():
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    import boto3

    url = f"http://{host}:{port}"
    names = {"aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
    boto3.client("s3", endpoint_url=url, region_name="us-east-1", **names).create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Digests of the same rows, one after the other on one machine without a remote; made once for each kind."""
    known = {}

    def made(kind):
        if kind.method not in known:
            place = clone(tmp_path_factory.mktemp("serial") / "project", "", "")
            (place / "twelve.csv").write_text(kind.text())
            out = done(prior3d(place, "sweep", "twelve.csv", "--method", kind.method, *kind.words), WHOLE_S)
            assert "12 runs, 0 done, 12 to make" in out
            known[kind.method] = {name: artifacts(place, name) for name in kind.names}
        return known[kind.method]

    return made


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def dask_cluster(one, two):
    port = free_port()
    line = [sys.executable, "-m", "dask"]
    begun = [
        subprocess.Popen(
            [*line, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
            env=environment(one), cwd=one, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
    ]  # fmt: skip
    for project in (one, two):
        words = ["worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        begun.append(
            subprocess.Popen(
                [*line, *words, "--local-directory", str(project.parent / f"{project.name}-dask")],
                env=environment(project), cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
    try:
        yield f"dask:tcp://127.0.0.1:{port}"
    finally:
        for process in begun[::-1]:
            process.terminate()
        for process in begun:
            process.wait(60)


@contextlib.contextmanager
def ray_cluster(one, two):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for project in (one, two):
            cluster.add_node(num_cpus=1, env_vars=environment(project))
        yield f"ray:{cluster.address}"
    finally:
        cluster.shutdown()


@pytest.mark.parametrize("kind", [FAKE, TOY], ids=["counting", "toy-prior"])
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_twelve_rows_though_a_worker_is_killed(engine, kind, endpoint, serial, tmp_path):
    pytest.importorskip("distributed" if engine == "dask" else "ray")
    remote = f"s3://{BUCKET}/{engine}-{kind.method}"
    driver, one, two = (clone(tmp_path / name, remote, endpoint) for name in ("driver", "one", "two"))
    (driver / "twelve.csv").write_text(kind.text())
    words = ("sweep", "twelve.csv", "--method", kind.method, *kind.words)
    with (dask_cluster if engine == "dask" else ray_cluster)(one, two) as place:
        began = time.monotonic()
        sweep = prior3d(driver, *words, "--on", place)
        try:
            victim = worker_at(one, driver, sweep, n_done=3)
            os.kill(victim.pid, signal.SIGKILL)
            out, _ = sweep.communicate(timeout=WHOLE_S)
        finally:
            if sweep.poll() is None:
                os.killpg(sweep.pid, signal.SIGKILL)
        seconds = time.monotonic() - began
        whole, broken = computations([one, two], "twelve", kind.names)
        twice = {key: n for key, n in (whole + broken).items() if n > 1}
        counted = f"computed {sum(whole.values())}, in runs that were broken off {sum(broken.values())}, twice {twice}"
        (tmp_path / "report.txt").write_text(f"{out}\n{engine}: {seconds:.0f} s; {counted}\n")
        assert sweep.returncode == 0, out
        assert out.count(": done in ") == 12
        expected = serial(kind)
        for name in kind.names:
            assert artifacts(driver, name) == expected[name], name
        assert len(whole + broken) == kind.n_results
        assert not twice
        assert "12 runs, 12 done, 0 to make" in done(prior3d(driver, *words, "--on", place))
    assert done(prior3d(driver, "verify", "--all")).splitlines()[-1] == "all is whole"


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_without_an_address_a_cluster_of_its_own_begins_and_ends(engine, tmp_path, monkeypatch):
    pytest.importorskip("distributed" if engine == "dask" else "ray")
    project = clone(tmp_path / "project", "", "")
    (project / "three.csv").write_text("\n".join(FAKE.text().splitlines()[:4]) + "\n")
    words = ("sweep", "three.csv", "--method", FAKE.method, *FAKE.words)
    with contextlib.ExitStack() as others:
        if engine == "ray":  # one that runs here already has no room: rows that went there would never begin
            from ray.cluster_utils import Cluster

            other = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
            others.callback(other.shutdown)
            monkeypatch.setenv("RAY_ADDRESS", other.address)
        out = done(prior3d(project, *words, "--on", engine), WHOLE_S)
        left = [p.pid for p in psutil.process_iter(["environ"]) if _is_of(p, project)]
    assert out.count(": done in ") == 3
    assert not left
    assert "3 runs, 3 done, 0 to make" in done(prior3d(project, *words))


def _is_of(process, project):
    return (process.info["environ"] or {}).get("PRIOR3D_PROJECT") == str(project)
