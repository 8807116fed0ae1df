"""The queue of studio: one job after the other, each a process of its own that outlives studio."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil

from flows.engine.project import Project
from flows.studio.jobs import AT_WORK, ID, Job, all_jobs, jobs_folder, new_job, read_job
from flows.terminal import warn
from prior3d.errors import Prior3dError

LOOK_EVERY_S = 0.2
KEPT_DONE = 50  # jobs that are done; their runs stay, whatever becomes of the job
MOST_KILLS = 5  # in a row; then a person has to look
COMMAND = (sys.executable, "-P", "-m", "flows.studio.process")  # -P: a folder `flows` of the project is another's
KILLED = "its process was killed {} times, perhaps for lack of memory; resume to try again"


class Queue:
    """The jobs of a project. Several threads may use it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._lock = threading.RLock()
        self._child: tuple[str, subprocess.Popen[bytes]] | None = None
        self._asked_to_stop: set[str] = set()
        self._closing = threading.Event()

    def add(self, key: str, method: str, words: list[str], run: str, asked: str, inputs: dict[str, str]) -> Job:
        """Put a job into the queue; a request that was sent before gives the job that it made then."""
        with self._lock:
            jobs = all_jobs(self.project)
            for job in jobs:
                same = job.method == method and job.words == tuple(words) and job.run == run
                if (key and job.key == key) or (same and job.state() in AT_WORK):
                    return job
            return new_job(self.project, key, method, words, run, asked, inputs)

    def names_in_use(self, method: str, inputs: dict[str, str]) -> set[str]:
        """Names of runs that jobs which are not done will make of something else."""
        jobs = all_jobs(self.project)
        return {job.run for job in jobs if (job.method, job.inputs) != (method, inputs) and job.state() in AT_WORK}

    def job(self, name: str) -> Job:
        """A job (raises Prior3dError if it is gone)."""
        found = read_job(jobs_folder(self.project) / name) if ID.fullmatch(name) else None
        if found is None:
            raise Prior3dError("this job is no longer in the queue; another tab may have removed it")
        return found

    def stop(self, name: str) -> Job:
        """Ask a job to save its checkpoints and stop; one that waits stops at once."""
        with self._lock:
            job = self.job(name)
            if job.state() in AT_WORK:
                job = replace(job, stop=True).save()
                self._signal(job)
            return job

    def resume(self, name: str) -> Job:
        """Put a job that has ended into the queue again; its run goes on at its checkpoints."""
        with self._lock:
            job = self.job(name)
            self._asked_to_stop.discard(name)
            return job if job.state() in AT_WORK else job.again()

    def remove(self, name: str) -> None:
        """Forget a job that does not run; its run stays (raises Prior3dError if it runs)."""
        with self._lock:
            job = self.job(name)
            if job.state() in ("running", "stopping"):
                raise Prior3dError("this job is running; stop it first")
            job.remove()

    def tidy(self) -> None:
        """Forget the jobs that were done before the last fifty: the page asks for all of them every second."""
        with self._lock:
            for job in [job for job in all_jobs(self.project) if job.state() == "done"][:-KEPT_DONE]:
                job.remove()

    def tick(self) -> None:
        """Look after the jobs once: see to one that was killed, stop what is to stop, start the next one."""
        with self._lock:
            if self._child is not None and self._child[1].poll() is not None:
                name, child = self._child
                self._child = None
                self._see_to(name, child.returncode)
            jobs = [(job, job.state()) for job in all_jobs(self.project)]
            for job in (job for job, state in jobs if state == "stopping"):
                self._signal(job)
            if self._child is None and not any(state in ("running", "stopping") for _, state in jobs):
                waiting = next((job for job, state in jobs if state == "waiting"), None)
                if waiting is not None:
                    self._child = waiting.id, _start(self.project, waiting)

    def _see_to(self, name: str, code: int) -> None:
        """A job's process has ended: killed without a word, it waits for its turn again."""
        job = read_job(jobs_folder(self.project) / name)
        if job is None or job.outcome() is not None or job.stop:
            return
        job = replace(job, kills=job.kills + 1).save()
        if job.kills >= MOST_KILLS or code > 0:
            job.end("failed", KILLED.format(job.kills) if code <= 0 else "its process did not start; see its log")

    def _signal(self, job: Job) -> None:
        process = job.process()
        if job.id in self._asked_to_stop or process is None:
            return  # it has not noted its number yet: the next look sees it
        self._asked_to_stop.add(job.id)
        try:
            process.terminate()
        except psutil.Error:
            self._asked_to_stop.discard(job.id)

    def work(self) -> None:
        """Look after the jobs until `close`."""
        while not self._closing.wait(LOOK_EVERY_S):
            try:
                self.tick()
            except (OSError, Prior3dError) as error:  # a full disk: the jobs are as they were
                warn(f"studio's queue: {error}")
                time.sleep(5 * LOOK_EVERY_S)

    def start(self) -> None:
        """Look after the jobs in a thread."""
        threading.Thread(target=self.work, daemon=True, name="studio-queue").start()

    def close(self) -> None:
        """Stop looking after the jobs; one that runs goes on."""
        self._closing.set()


def _start(project: Project, job: Job) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with job.log.open("ab") as stream:
        return subprocess.Popen([*COMMAND, str(job.folder)], cwd=project.root, env=environment, stdout=stream,
                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
