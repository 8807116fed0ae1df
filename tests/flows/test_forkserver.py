"""What a forked stage can and cannot do, above all with a GPU, which forks of a process that used it cannot use."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from flows.engine import session
from flows.engine.devices_after_fork import counts_devices, cuda_driver_started, why_fork_cannot_serve
from flows.engine.execution import Call, Executor, Interrupted, StageFailed
from flows.engine.fingerprint import libraries
from flows.engine.fork_client import ForkClient
from flows.engine.worker import Worker
from flows.methods import METHODS


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def executor(tmp_path, monkeypatch, warnings):
    monkeypatch.setenv("FAKE_CUDA_LOG", str(tmp_path / "marking_calls"))
    executor = Executor(tmp_path / "forkserver.log", warn=warnings.append)
    yield executor
    executor.stop_children()
    executor.close()


def ask(executor, tmp_path, end="", device="auto", **env):
    """Run the stage that tells how it runs; returns what it told and the other lines."""
    (tmp_path / "params.yaml").write_text(json.dumps({"telling": {"end": end}}))
    lines = []
    call = Call("telling", "fake_stages.telling", [], tmp_path, env=env, device=device)
    try:
        executor.execute(call, say=lines.append, progress=print)
    finally:
        told = next((json.loads(line.removeprefix("told ")) for line in lines if line.startswith("told ")), None)
        others = [line for line in lines if not line.startswith("told ")]
    return told, others


def marking_calls(tmp_path):
    file = tmp_path / "marking_calls"
    return file.read_text() if file.exists() else ""


def test_importing_the_libraries_of_all_stages_leaves_cuda_alone(executor, tmp_path):
    modules = dict.fromkeys(stage.module for method in METHODS.values() for stage in method.stages)
    executor.preload([("fake_cuda", "")])
    for module in modules:
        executor.preload(libraries(module))
    told, others = ask(executor, tmp_path, device="cuda")
    assert marking_calls(tmp_path) == ""
    assert told["forked"] and others == []


@pytest.mark.parametrize(("careful", "marks"), [("", True), ("1", False)])
def test_what_marks_forks_without_care(tmp_path, careful, marks):
    """The notes that the test above finds empty are taken: without what the server sets, diffusers leaves one."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FAKE_CUDA_LOG": str(tmp_path / "marking_calls")}
    env["PYTORCH_NVML_BASED_CUDA_CHECK"] = careful
    subprocess.run([sys.executable, "-c", "import fake_cuda, diffusers"], env=env, check=True)
    assert marking_calls(tmp_path).startswith("_cuda_getDeviceCount from ") == marks


def test_stage_starts_over_where_a_library_has_started_cuda(executor, tmp_path):
    executor.preload([("asks_cuda", "")])
    told, others = ask(executor, tmp_path, device="cuda", ADDED="1")
    assert marking_calls(tmp_path).startswith("_cuda_getArchFlags from ")
    assert told == {"forked": False, "leads": True, "collects": True, "device": None, "env": {"ADDED": "1"}}
    assert others == [
        "warning: a library started CUDA when it was imported, and no fork of its process can use it; "
        "this stage starts as a process of its own, which takes seconds more"
    ]


def test_stage_on_the_cpu_is_forked_all_the_same(executor, tmp_path):
    executor.preload([("asks_cuda", "")])
    told, others = ask(executor, tmp_path, device="cpu")
    assert told["forked"] and told["leads"] and others == []


def test_what_a_person_set_reaches_the_stage(executor, tmp_path, monkeypatch):
    assert ask(executor, tmp_path)[0]["env"] == {}
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "0")
    assert ask(executor, tmp_path)[0]["env"] == {"PYTORCH_NVML_BASED_CUDA_CHECK": "0"}


@pytest.mark.parametrize("library", ["json", "asks_cuda"])
@pytest.mark.parametrize(
    ("end", "message", "retry"),
    [
        ("user", "stage telling: put it right", False),
        ("crash", "stage telling failed with exit code 1", True),
        ("killed", r"stage telling was killed \(signal 9", True),
    ],
)
def test_forked_or_started_over_a_stage_ends_alike(executor, tmp_path, library, end, message, retry):
    executor.preload([(library, "")])
    with pytest.raises(StageFailed, match=message) as failure:
        ask(executor, tmp_path, end)
    assert failure.value.retry == retry


def test_stage_that_started_over_is_stopped_like_any_other(executor, tmp_path):
    executor.preload([("asks_cuda", "")])
    told = threading.Event()
    stop = threading.Thread(target=lambda: told.wait(60) and executor.stop_children())
    stop.start()
    (tmp_path / "params.yaml").write_text("telling: {end: waits}")
    call = Call("telling", "fake_stages.telling", [], tmp_path)
    with pytest.raises(Interrupted):
        executor.execute(call, say=lambda line: told.set() if line.startswith("told ") else None, progress=print)
    stop.join()


def test_a_library_that_cannot_be_imported_does_not_stop_the_server(executor, tmp_path):
    executor.preload([("no_such_library", ""), ("fails_when_imported", ""), ("json", "no_such_name")])
    assert ask(executor, tmp_path)[0]["forked"]


@pytest.mark.parametrize(
    ("stage", "waits"), [("fake_stages.telling", True), ("", True), ("fake_stages.counting", False)]
)
def test_a_stage_waits_for_its_own_libraries_only(executor, tmp_path, monkeypatch, stage, waits):
    taken, seen = tmp_path / "taken", list[bool]()
    monkeypatch.setenv("TAKES_LONG", f"3 {taken}")
    executor.preload([("fake_cuda", ""), ("takes_long", "")], stage)  # the request comes while the first is imported
    (tmp_path / "params.yaml").write_text("telling: {}")
    call = Call("telling", "fake_stages.telling", [], tmp_path)
    executor.execute(call, say=lambda _: seen.append(taken.exists()), progress=print)
    assert seen == [waits]


def test_a_server_that_was_started_ahead(tmp_path, monkeypatch, warnings):
    """It prints into the run's log once that is known, and whoever started it ends it without waiting for imports."""
    monkeypatch.setenv("TAKES_LONG", f"0.1 {tmp_path / 'taken'}")
    log = tmp_path / "run" / ".work" / "forkserver.log"
    with ForkClient(None) as client:
        client.preload([("takes_long", "")])
        executor = Executor(log, warnings.append, client)
        assert executor.start() is client
        told, others = ask(executor, tmp_path)
        executor.close()
    assert told["forked"] and others == warnings == [] and log.read_text() == "this takes long\n"
    monkeypatch.setenv("TAKES_LONG", f"60 {tmp_path / 'taken'}")
    began = time.monotonic()
    with ForkClient(None) as client:
        client.preload([("takes_long", "")])
        time.sleep(0.5)
        assert client.ended() == ""
    assert client.ended() and time.monotonic() - began < 2


@pytest.mark.parametrize(("answer", "started"), [(0, True), (100, True), (3, False)])
def test_driver_says_whether_it_was_started(answer, started):
    assert counts_devices(SimpleNamespace(cuDeviceGetCount=lambda _count: answer)) == started


@pytest.mark.skipif(cuda_driver_started(), reason="this process uses a GPU")
def test_driver_that_is_not_there_was_not_started():
    assert why_fork_cannot_serve("cuda", cuda_driver_started()) is None


@pytest.mark.parametrize(
    ("device", "driver_started", "platform", "served"),
    [
        ("auto", False, "linux", True),
        ("cuda:1", True, "linux", False),
        ("auto", True, "linux", False),
        ("cpu", True, "linux", True),
        ("mps", False, "darwin", False),
        ("auto", False, "darwin", False),
        ("cpu", False, "darwin", True),
        ("mps", False, "linux", True),  # there is none: the stage says so
    ],
)
def test_which_devices_a_fork_serves(device, driver_started, platform, served):
    reason = why_fork_cannot_serve(device, driver_started, platform)
    assert (reason is None) == served
    if platform == "darwin":
        assert not reason  # on a Mac it is the rule: no warning


REPLACED = "the process that starts stages was killed (signal 9: perhaps out of memory); another one takes its place"


def kill(client):
    os.kill(client.pid, signal.SIGKILL)


def test_server_that_was_killed_is_replaced_and_it_is_said(executor, tmp_path, warnings):
    executor.preload([("json", "")])
    kill(executor.start())
    executor.preload([("fake_cuda", "")])  # the socket may be dead already: nothing is raised
    assert ask(executor, tmp_path)[0]["forked"]
    assert warnings == [REPLACED]


def test_server_that_was_killed_before_it_was_asked_at_all(executor, tmp_path, warnings):
    kill(executor.start())
    assert ask(executor, tmp_path)[0]["forked"] and warnings == [REPLACED]


def test_server_that_is_killed_while_a_stage_runs(executor, tmp_path, warnings):
    (tmp_path / "params.yaml").write_text("telling: {end: waits}")
    call = Call("telling", "fake_stages.telling", [], tmp_path)
    with pytest.raises(StageFailed, match="the process that starts stages is gone; perhaps out of memory") as failure:
        executor.execute(call, say=lambda line: kill(executor.start()) if "told" in line else None, progress=print)
    assert failure.value.retry
    assert ask(executor, tmp_path)[0]["forked"] and warnings == [REPLACED]


def test_server_that_dies_each_time_is_an_error_not_a_hang(executor, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StageFailed, match="the process that starts stages is gone") as failure:
        ask(executor, tmp_path)
    assert failure.value.retry


def test_no_signal_goes_to_this_process_group_when_the_server_answers_nothing(executor, tmp_path, monkeypatch):
    """Process group 0 is one's own."""
    signalled = []
    monkeypatch.setattr(os, "killpg", lambda pid, number: signalled.append(pid))
    monkeypatch.setattr(ForkClient, "answer", lambda self, number: {})
    with pytest.raises(StageFailed):
        ask(executor, tmp_path)
    executor.stop_children()
    assert signalled == []


@pytest.mark.parametrize("at", ["fork", "start"])
def test_a_stop_while_a_stage_is_asked_for_starts_no_other_server(executor, tmp_path, monkeypatch, at):
    """The server is gone because the run is being stopped: another one would make the stage all the same."""
    client = executor.start()

    def gone(*_):
        executor.stopping = True
        client.close()
        raise BrokenPipeError

    if at == "fork":
        monkeypatch.setattr(client, "fork", gone)
    else:
        executor.stopping = True
    with pytest.raises(Interrupted):
        ask(executor, tmp_path)
    assert executor._client is client


def test_a_stage_that_is_there_after_the_stop_is_stopped(executor, tmp_path, monkeypatch):
    client, signals = executor.start(), []
    answer = client.answer

    def late(number):
        executor.stopping = True
        return answer(number)

    monkeypatch.setattr(client, "answer", late)
    monkeypatch.setattr(executor, "_signal_all", signals.append)
    with contextlib.suppress(Interrupted):
        ask(executor, tmp_path)
    assert signals == [signal.SIGTERM]


def test_no_thread_of_a_run_is_left_when_it_was_broken_off():
    """The interpreter's end waited for it, and one more interrupt was a traceback there."""
    done = threading.Event()

    def breaks_off(worker, stages):
        started = threading.Event()
        worker._threads.submit(lambda: (started.set(), done.wait(0.5), done.set()))
        started.wait()
        raise KeyboardInterrupt

    worker = SimpleNamespace(
        _threads=ThreadPoolExecutor(1),
        _beginning=threading.RLock(),
        executor=SimpleNamespace(stop_children=lambda: None, preload=print),
    )
    worker.close = lambda: Worker.close(worker)
    plan = SimpleNamespace(steps=[])
    with pytest.raises(KeyboardInterrupt):
        session._make(worker, [], plan, session.Options(make=breaks_off), print)
    assert done.is_set()
    with pytest.raises(RuntimeError):
        worker._threads.submit(print)
