"""The most memory that this process has held, on any system."""

import importlib.util
import sys

import psutil

HAS_RESOURCE = importlib.util.find_spec("resource") is not None  # not on Windows
if HAS_RESOURCE:
    import resource


def peak_memory_mb() -> float:
    """Of this process; in MB of 1024 KB."""
    if not HAS_RESOURCE:
        return float(psutil.Process().memory_info().peak_wset) / 1024**2
    per_mb = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mb
