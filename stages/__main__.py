"""`python -m stages NAME --INPUT PATH ...`, in a run's folder: what dvc.yaml calls."""

import sys
from pathlib import Path

from stages.contract.entry import main

sys.exit(main(sys.argv[1:], Path.cwd()))
