"""The command line `prior3d`. Importing it is cheap: every command imports what it needs."""

import argparse
import errno
import io
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

from flows.commands import PLACES, command
from flows.nameless_user import give_name_and_home
from flows.terminal import INTERRUPTED, USER_ERROR, fail, say
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

OVERVIEW = """\
3D from a text, one image, a few images or an edit in words.

make things
  init [DIR]          make a folder a project
  run METHOD ...      make a 3D object; the same command again resumes an interrupted run
  import FILE.ply     a run of Gaussian splats that another program made: its page, a mesh, other formats
  sweep FILE          many runs out of a CSV, JSONL or YAML file; again: what failed or is missing
  studio              all of this in the browser: make, watch, stop, resume, compare, download
  plan RUN            what would run, and why (also: plan METHOD ..., with the options of run)
look at things
  ls                  all runs of this project
  status RUN          a run's stages, measurements and versions
  open RUN            its page in the browser
  watch RUN           the object from any side, while it trains or afterwards
  compare A B ...     runs or versions on one page       gallery   all runs on one page
  methods             all methods
  stage NAME          the inputs, output and parameters of a stage
  priors ls           all priors; also: priors show NAME, check NAME, train NAME, sample NAME --prompt ...
versions: RUN, RUN@3, RUN@<git revision>
  log RUN             when and why each version was made, what changed, what was measured
  diff A B            parameters, code, measurements and files that differ
  restore RUN@N       put a version back                 export RUN --to FOLDER|ZIP|MESH.glb
  rm RUN              remove a run                        gc   remove cached files that no version needs
where things come from
  whence FILE         the run, version, inputs and code behind a file, also behind an exported one
  find ...            versions by prompt, method, prior and measurements
  reproduce FILE      make a file again and compare the bytes
  verify RUN | --all  read everything, name what is damaged, put back what has a copy
share results with another machine
  remote [add PLACE]  a folder or s3://BUCKET/FOLDER that keeps results and their files; runs put theirs there
  push RUN            put a run's versions there            pull RUN    take them from there
keep things working
  doctor              check device, packages and priors; says how to fix what is missing
  accept RUN          keep a run's outputs and record the present code beside them
  server [stop]       the local Prefect server           deploy    methods on its pages, with a form, for others to run
  completion SHELL    what bash, zsh or fish need to complete command lines

`prior3d run METHOD --help` lists every input and parameter of a method with its default."""
DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ENOTDIR: "a file lies where a folder is needed",
    errno.EEXIST: "a file lies where a folder is needed",
    errno.EISDIR: "a folder lies where a file is needed",
    errno.ENOTEMPTY: "a folder lies where a file is needed",
    errno.EIO: "the disk has a fault",
    errno.ELOOP: "links lead in a circle",
    errno.ENAMETOOLONG: "a name is too long",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 a bug, 2 a mistake to fix, 130 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="prior3d", usage="prior3d COMMAND ...", description=OVERVIEW, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args(words)
    if chosen.version:
        from importlib.metadata import version  # start-up: only this option needs it

        return say(f"prior3d {version('prior3d')}")
    if chosen.command is None:
        parser.print_help()
        return USER_ERROR
    for stream in (sys.stdout, sys.stderr):  # a terminal shows the codes of letters that it lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        give_name_and_home()
        return _command(chosen.command)(chosen.rest)
    except Prior3dError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in DISK:
            raise
        where = error.filename2 or error.filename or Path.cwd()
        return _fail(f"{DISK[error.errno]}: {where}; fix that and run the command again")


def _command(name: str) -> Callable[[list[str]], int]:
    if name in PLACES:
        return command(name)
    from flows.methods import METHODS  # start-up: only this error needs it

    if name in METHODS:
        raise Prior3dError(f"{name!r} is a method; write: prior3d run {name} ...")
    raise Prior3dError(f"there is no command {name!r}; {did_you_mean(name, PLACES, 'see: prior3d --help')}")


def _output_is_closed() -> bool:
    """Whether nobody reads what is printed any more (`prior3d ls | head -1`)."""
    looks = select.poll()
    looks.register(sys.stdout.fileno(), 0)
    return bool(looks.poll(0))


def _fail(message: str, code: int = USER_ERROR) -> int:
    fail(message)
    return code


if __name__ == "__main__":
    sys.exit(main())
