"""The Prefect server that a run reports to: the user's own if there is one, else a local one, started once.

Nothing here imports prefect: the server takes seconds to start, and the first stage of a run does not wait for it.
`prefect server start --background` is not used: it takes 3 s itself, keeps no log, and its process cannot be told from
another server.
"""

import base64
import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from flows.engine.project import Project
from flows.engine.run_files import derived, text_of
from prior3d.errors import Prior3dError
from prior3d.files import write_whole
from prior3d.locks import held

PASSWORD = "password"  # its file; the server's pages ask for it
HEALTH_TIMEOUT_S = 2.0
STARTING_S = 90.0
COURTESY = 5  # its start takes ten seconds of a processor: those who wait for a stage come first
ERROR_LINE = re.compile(r"[\w.]*(Error|Exception)\b.*\S")  # the last line of a traceback


class Noted(TypedDict):
    """What is noted of a server that was started."""

    pid: int
    url: str
    started: float


@dataclass(frozen=True)
class Server:
    """Where Prefect's API is (`url` ends in `/api`), and whether it is this project's own."""

    url: str
    own: bool

    def healthy(self) -> bool:
        """Whether it answers now."""
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}) if self.own else urllib.request.ProxyHandler()
        )
        password = urllib.parse.unquote(urllib.parse.urlsplit(self.url).netloc.rpartition("@")[0])
        headers = {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"} if password else {}
        try:
            asked = urllib.request.Request(f"{self.shown}/health", headers=headers)
            with opener.open(asked, timeout=HEALTH_TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError, http.client.HTTPException):
            return False

    @property
    def shown(self) -> str:
        """The address without a password in it, to be printed."""
        parts = urllib.parse.urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def users_server() -> Server | None:
    """The server that the user has configured, by PREFECT_API_URL or the active profile."""
    url = os.environ.get("PREFECT_API_URL") or _profile_url()
    return Server(url.rstrip("/"), own=False) if url else None


def _profile_url() -> str | None:
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    file = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active", "")
    return (profiles.get("profiles") or {}).get(active, {}).get("PREFECT_API_URL")


def find_or_start(project: Project) -> Server:
    """The server to report to; a local one is started in the background if none runs, and is not waited for."""
    own = users_server()
    if own is not None:
        return own
    home = project.state / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        server = local_server(project)
        if server is not None:
            return server
        return _start(home)


def server_that_answers(project: Project) -> Server:
    """The server to report to, once it answers (raises Prior3dError if it does not)."""
    server, until = find_or_start(project), time.monotonic() + STARTING_S
    while not server.healthy():
        if time.monotonic() > until:
            hint = "see .prior3d/prefect/server.log" if server.own else "check PREFECT_API_URL or your Prefect profile"
            raise Prior3dError(f"Prefect's server at {server.shown} does not answer; {hint}")
        time.sleep(0.2)
    return server


def local_server(project: Project) -> Server | None:
    """The project's own server, if it runs or has just been started."""
    noted = _noted(project.state / "prefect")
    if noted is None:
        return None
    server = Server(noted["url"], own=True)
    young = time.time() - noted["started"] < STARTING_S
    return server if _alive(noted["pid"]) and (young or server.healthy()) else None


def server_problem(project: Project) -> str:
    """Why the project's own server ended by itself, and the remedy; empty if it runs, was stopped or was killed."""
    home = project.state / "prefect"
    noted = _noted(home)
    if noted is None or _alive(noted["pid"]):
        return ""
    log = home / "server.log"
    errors = [line for line in (text_of(log) or "").splitlines() if ERROR_LINE.match(line)]
    if not errors:
        return ""
    of_database = any(word in errors[-1].lower() for word in ("alembic", "sqlite", "sqlalchemy"))
    remedy = f"delete {home}, it is made again" if of_database else f"its log is {log}"
    return f"Prefect's server ended ({errors[-1].strip()[:160]}); {remedy}"


def stop_local_server(project: Project) -> bool:
    """End this project's own server; whether there was one."""
    home = project.state / "prefect"
    noted, server = _noted(home), local_server(project)
    if noted is None or server is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(noted["pid"], signal.SIGTERM)
    (home / "server.json").unlink(missing_ok=True)
    return True


def client_environment(project: Project, server: Server) -> dict[str, str]:
    """What must be in the environment before prefect is imported."""
    quiet = {
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",  # what could not be sent to a server that is gone
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    if not server.own:
        return {k: v for k, v in quiet.items() if k not in os.environ}
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1"]))
    home = project.state / "prefect"
    known = text_of(password_file(project))  # a server of an earlier version has none
    password = {"PREFECT_API_AUTH_STRING": known} if known else {}
    return {**quiet, **password, **_settings(home), "PREFECT_API_URL": server.url, "NO_PROXY": direct}


def _settings(home: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _start(home: Path) -> Server:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    own = _protection(_new_password(home), port)
    own |= {"PREFECT_SERVER_UI_API_URL": url, "PREFECT_LOGGING_LEVEL": "WARNING"}  # its pages would ask port 4200
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **_settings(home), **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=home,
        )
    with contextlib.suppress(OSError):  # ended already: whoever asks for it next says so
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + COURTESY)
    write_whole(home / "server.json", json.dumps({"pid": process.pid, "url": url, "started": time.time()}))
    return Server(url, own=True)


def password_file(project: Project) -> Path:
    """Where the password of the project's own server is, for this user alone."""
    return project.state / "prefect" / PASSWORD


def _new_password(home: Path) -> str:
    """A password that only this user can read: every web page and every user of the machine can reach the port."""
    password, file = f"prior3d:{secrets.token_urlsafe(24)}", home / PASSWORD
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(password)
    return password


def _protection(password: str, port: int) -> dict[str, str]:
    """Settings that keep others out: a password for all but the health check, and no web page but the server's own."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
    }


def _noted(home: Path) -> Noted | None:
    noted: Noted | None = derived(home / "server.json", Noted)
    return noted


def _alive(pid: int) -> bool:
    """Whether the process lives and is a Prefect server (the number may belong to a new process)."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:  # ours, and ended: let it go, else it looks alive
            return False
    try:
        os.kill(pid, 0)
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # a system without /proc: it lives, that is all we can know
    except OSError:
        return False
    return b"prefect" in words or not words  # none yet: it is just being started


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    with held(home / "server.lock", wait_s=-1):
        yield
