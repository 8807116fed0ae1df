"""A library that prints, and takes a while to import; at its end it makes a file."""

import os
import sys
import time
from pathlib import Path

seconds, _, place = os.environ["TAKES_LONG"].partition(" ")
sys.stdout.write("this takes long\n")
sys.stdout.flush()
time.sleep(float(seconds))
Path(place).touch()
