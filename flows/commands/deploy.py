"""`prior3d deploy`: methods that others start on Prefect's pages, and the worker that makes their runs."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from flows.engine.project import find_project
from flows.engine.server import client_environment, server_that_answers
from flows.methods import METHODS, find_method
from flows.terminal import Parser, say
from prior3d.errors import Prior3dError

WHAT = """\
Offer methods on Prefect's pages: a form for the inputs and parameters, Run, Cancel, schedules. Runs are made by workers
of a work pool, on this machine or on others that see the same server and have the project in the same folder.

--serve starts a worker here, and stays until it is stopped."""


def deploy(words: list[str]) -> int:
    """`prior3d deploy [METHOD ...]`."""
    parser = Parser.of("deploy", WHAT)
    parser.add_argument("methods", metavar="METHOD", nargs="*", help="these methods (default: all)")
    parser.add_argument("--pool", default="prior3d", help="a process work pool; it is made if need be")
    parser.add_argument("--limit", type=int, default=1, metavar="N", help="runs at once (default: 1)")
    parser.add_argument("--serve", action="store_true", help="make runs here until it is stopped")
    args = parser.parse_args(words)
    if args.limit < 1:
        raise Prior3dError(f"--limit {args.limit}: a pool makes at least 1 run at once")
    methods = [find_method(name) for name in args.methods or METHODS]
    project = find_project(Path.cwd())
    server = server_that_answers(project)
    os.environ.update(client_environment(project, server))
    deployments = import_module("flows.deployments")  # Prefect, after its environment is set
    deployments.ensure_pool(args.pool, args.limit)
    names = deployments.deploy([method.name for method in methods], args.pool, project.root)
    pages = server.shown.removesuffix("/api")
    say("\n".join(["deployed:", *(f"  {name}" for name in names), f"Prefect's pages: {pages}"]))
    if not args.serve:
        return say(f"nobody makes their runs yet; next: prior3d deploy --serve --pool {args.pool}")
    say(f"this machine makes their runs, {args.limit} at once; ctrl-C ends that")
    line = [sys.executable, "-m", "prefect", "worker", "start", "--pool", args.pool, "--limit", str(args.limit)]
    process = subprocess.Popen(line, cwd=project.root)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
