"""What a run shares through the project's remote: a stage's result is looked for there before it is computed, and put
there after it. A remote that does not answer is left alone for the rest of the run, and one line at the end says so.
"""

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flows.engine.execution import Interrupted
from flows.engine.remote_files import RemoteFiles
from flows.engine.shared_store import SharedStore
from prior3d.errors import Prior3dError

ANSWER_S = 30.0  # a remote that lists nothing within this time is down; its libraries are imported in it, too
POLL_S = 1.0
RENEW_S = 5.0
VOID_S = 30.0  # a claim that is not renewed for so long is void
LOOK_S = 0.2  # between two looks at whether a run was stopped
STOP_S = 10.0  # a run that is stopped still sends what it has finished, for so long


class Sharing:
    """The remote of a project, while one run is made.

    Attributes:
        problem: why the remote is left alone; empty while it works.
        left_out: stages whose results were not put there.
    """

    def __init__(self, store: SharedStore, enabled: bool, stopping: Callable[[], bool]) -> None:
        self._store, self._stopping = store, stopping
        self._enabled = enabled and store.exists()
        self._files: RemoteFiles | None = None
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="push")
        self.problem, self.left_out = "", list[str]()
        self._until, self._late = math.inf, False  # by when all has to be sent, once the run is stopped

    @property
    def works(self) -> bool:
        """Whether there is a remote, and it has answered so far."""
        return self._enabled and not self.problem

    def take(self, dvc_file: str, stage: str, key: str) -> None:
        """Bring a key's results from the remote into the caches here, if it has them."""
        if not self.works or not key:
            return
        with self._noting():
            files = self._opened()
            names = self._within(ANSWER_S, lambda: files.results(key))
            if names:
                results = {name: files.read_result(key, name) for name in names}
                self._store.take_results(dvc_file, stage, results)

    def put(self, dvc_file: str, stage: str, key: str) -> None:
        """Send a stage's result to the remote, beside what is computed next."""
        if not self._enabled or not key:
            return
        self._sender.submit(self._put, dvc_file, stage, key)

    @contextlib.contextmanager
    def turn(self, key: str, waits: Callable[[], None], found: Callable[[], bool]) -> Iterator[bool]:
        """Wait until no other machine computes a key.

        Args:
            key: of the stage.
            waits: is called once if another machine computes it.
            found: looks for the result, in the remote too.

        Returns:
            Whether the result was found; if not, the key is claimed until what was put is there.

        Raises:
            Interrupted: the run was stopped while it waited.
        """
        if not self.works or not key:
            yield False
            return
        token, said, seen, since = self._claim(key), False, "", time.monotonic()
        while self.works and not token:
            if not said:
                waits()
                said = True
            if self._stopping():
                raise Interrupted("stopped while another machine computed the same stage")
            time.sleep(POLL_S)
            seen, since = self._watch(key, seen, since)
            token = self._claim(key)
        with self._held(key, token):
            yield found()  # looked for behind the claim: who had it before may have put it there just now

    def close(self) -> str:
        """Wait for what is being sent; returns a line about what was not shared, empty if all was.

        A stage that was finished is sent even if the run is stopped: another machine may wait for it.
        """
        if self._stopping():
            self._until = time.monotonic() + STOP_S
        self._sender.shutdown()
        if not self.problem:
            return ""
        what = f", so {', '.join(self.left_out)} {'was' if len(self.left_out) == 1 else 'were'} not shared"
        why = f"the remote does not work ({self.problem})"
        if self._late:
            why = f"the run was stopped, and sending took longer than {STOP_S:g} s"
        return f"{why}{what if self.left_out else ''}"

    def _put(self, dvc_file: str, stage: str, key: str) -> None:
        if self.works:
            with self._noting():
                files = self._opened()
                known = self._within(ANSWER_S, lambda: files.results(key))
                name, entry = self._within(math.inf, lambda: self._store.send_objects(dvc_file, stage))
                if name not in known:
                    files.write_result(key, name, entry)
                return
        self.left_out.append(stage)

    def _opened(self) -> RemoteFiles:
        if self._files is None:
            os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")  # a store that is down is not asked for a minute
            self._files = self._within(ANSWER_S, self._store.files)
        return self._files

    def _within(self, seconds: float, ask: Callable[[], Any]) -> Any:
        return within(seconds, ask, lambda: self._until)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """Whatever goes wrong with a remote costs no run: it is noted, and the remote left alone."""
        try:
            yield
        except Exception as error:  # each kind of store has errors of its own
            text = " ".join(str(error).split()) or type(error).__name__
            self._late = self._late or (not self.problem and time.monotonic() >= self._until)
            self.problem = self.problem or text[:200]

    def _claim(self, key: str) -> str:
        with self._noting():
            files = self._opened()
            return self._within(ANSWER_S, lambda: files.claim(key))
        return ""

    def _watch(self, key: str, seen: str, since: float) -> tuple[str, float]:
        """What the claim of a key says, and since when; one that has said the same for too long is removed."""
        with self._noting():
            files = self._opened()
            now = self._within(ANSWER_S, lambda: files.claimed(key))
            if now != seen:
                return now, time.monotonic()
            if now and time.monotonic() - since > VOID_S:
                files.release(key)
        return seen, since

    @contextlib.contextmanager
    def _held(self, key: str, token: str) -> Iterator[None]:
        """Renew a claim while a stage is computed; it is given up once the result is in the remote."""
        if not token:
            yield
            return
        over, done = threading.Event(), False
        renewing = threading.Thread(target=self._renew, args=(key, token, over), daemon=True, name="claim")
        renewing.start()

        def give_up() -> None:
            over.set()
            with self._noting():
                self._opened().release(key)

        try:
            yield
            done = True
        finally:
            if done:  # behind what is being sent
                self._sender.submit(give_up)
            else:
                give_up()

    def _renew(self, key: str, token: str, over: threading.Event) -> None:
        while not over.wait(RENEW_S) and self.works:
            with self._noting():
                token = self._opened().renew(key, token)
        # a renewal that was on its way while the claim was given up would leave it behind
        if over.is_set():
            with contextlib.suppress(Exception):
                files = self._opened()
                if files.claimed(key) == token:
                    files.release(key)


def within(seconds: float, ask: Callable[[], Any], until: Callable[[], float] = lambda: math.inf) -> Any:
    """What a call returns, if it does in time (raises Prior3dError; the call is left to itself then).

    Args:
        seconds: that it may take.
        ask: the call.
        until: the time, of the monotonic clock, at which it is no longer waited for; asked again and again.
    """
    answers: list[Any] = []
    problems: list[BaseException] = []

    def call() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # handed on below
            problems.append(error)

    caller, last = threading.Thread(target=call, daemon=True, name="remote"), time.monotonic() + seconds
    caller.start()
    while caller.is_alive() and time.monotonic() < min(last, until()):
        caller.join(max(0.0, min(last - time.monotonic(), LOOK_S)))
    if problems:
        raise problems[0]
    if not answers:
        raise Prior3dError(f"it does not answer within {seconds:g} s")
    return answers[0]
