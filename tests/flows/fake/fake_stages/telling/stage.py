"""The body of telling."""

import gc
import json
import os
import sys
import time

from fake_stages.telling import Params
from prior3d.errors import Prior3dError
from stages.contract.job import Job, Stopped


def run(job: Job, params: Params) -> None:
    told = {
        "forked": "forkserver" in str(sys.modules["__main__"].__file__),
        "leads": os.getpid() == os.getsid(0) == os.getpgid(0),
        "collects": gc.isenabled(),
        "device": job.settings.get("device"),
        "env": {k: v for k, v in os.environ.items() if k in ("ADDED", "PYTORCH_NVML_BASED_CUDA_CHECK")},
    }
    sys.stdout.write(f"told {json.dumps(told)}\n")
    sys.stdout.flush()
    if params.end == "user":
        raise Prior3dError("put it right")
    if params.end == "crash":
        raise ValueError("unforeseen")
    if params.end == "killed":
        os.kill(os.getpid(), 9)
    if params.end == "waits":
        while not job.stopping:
            time.sleep(0.05)
        raise Stopped
