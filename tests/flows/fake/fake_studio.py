"""Studio with the fake method in it: `python fake_studio.py serve PROJECT`, or one of its jobs: `job FOLDER`."""

import sys
from pathlib import Path

from fake_prior3d import fake_method

from flows import methods
from flows.engine.project import find_project
from flows.studio import process, queue

if __name__ == "__main__":
    methods.METHODS["counting-method"] = fake_method()
    queue.COMMAND = (sys.executable, str(Path(__file__)), "job")
    what, place = sys.argv[1], Path(sys.argv[2])
    if what == "job":
        sys.exit(process.main(place))
    from flows.studio.serving import serve

    sys.stdout.write(f"{serve(find_project(place), None, False)}\n")
