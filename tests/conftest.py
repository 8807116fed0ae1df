import os
from pathlib import Path

# Before torch is imported: threads that wait by spinning slow down small work tens of times on a busy machine, and for
# small tensors one thread is faster anyway, and does not wait for cores that others use.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ.setdefault("PRIOR3D_EVENTS", "1")  # stages say their progress as a run reads it

import jaxtyping
import pytest

LIBRARY = Path(__file__).resolve().parents[1] / "prior3d"
NOT_CHECKED_YET: tuple[str, ...] = ()  # rooms; take one out once it is annotated

# Before prior3d is imported. From here on each call into these rooms checks its arguments and its result against their
# annotations, shapes included. An int may stand for a float.
jaxtyping.install_import_hook(
    [f"prior3d.{path.stem}" for path in sorted(LIBRARY.iterdir()) if path.stem not in NOT_CHECKED_YET],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


@pytest.fixture
def rooms_not_checked_yet():
    """Rooms of prior3d whose annotations are not checked at run time."""
    return NOT_CHECKED_YET


@pytest.fixture
def without_checks():
    """Annotations are not checked, as in a run: for tests of the library's own errors about wrong arguments."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
