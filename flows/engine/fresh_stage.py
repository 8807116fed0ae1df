"""`python -m flows.engine.fresh_stage MODULE ...`: a stage that cannot be a fork, because of its device."""

import sys
from pathlib import Path

from stages.contract.entry import execute

if __name__ == "__main__":
    sys.exit(execute(sys.argv[1], sys.argv[2:], Path.cwd()))
