"""How many flipped bytes `prior3d verify` finds and puts right: `python benchmarks/flipped_bytes.py [--flips 1000]`.

A project with three small runs in git, one of them broken off at a checkpoint, and a prior. One byte of one file is
changed at a time; size and time of the file stay, as on a disk that rots. Kinds of file take turns; file, byte and bits
are drawn. After each, `verify --all` has to name the file. Whether all is as before again is compared byte by byte;
what cannot be put right (a checkpoint) is put back from a copy for the next one.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from orchestration import command_line
from results import add_write_option, markdown_table, write_results

from flows.engine.project import Project, init_project
from flows.verification import priors
from flows.verification.verify import verify
from prior3d import checkpoints

RUNS = {"one": ("one two", "three"), "two": ("one two",), "three": ("four",)}
KINDS = ("artifact", "object", "lock", "record", "checksum", "result", "checkpoint", "prior")


def make_project(folder: Path) -> Project:
    """Runs with four versions in all, a checkpoint, a prior, all in git as a person would commit it."""
    git(folder, "init", "--quiet")
    project, _ = init_project(folder)
    os.chdir(folder)
    for name, texts in RUNS.items():
        for text in texts:
            if command_line(["run", "trivial", "--text", text, "--name", name, "--plain"]):
                raise SystemExit(f"run {name} failed")
    work = project.runs / "three" / ".work" / "step_2" / "0123456789abcdef"
    work.mkdir(parents=True)
    checkpoints.save(work / "checkpoint.safetensors", {"values": torch.arange(64.0)}, {"n_steps_done": 3})
    prior = folder / "data" / "priors" / "small"
    (prior / "unet").mkdir(parents=True)
    (prior / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    (prior / "unet" / "weights.safetensors").write_bytes(bytes(random.Random(0).randbytes(2000)))
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "--message", "all")
    priors.embedded_folders = lambda: (folder / "data" / "priors", folder / "none")
    return project


def git(folder: Path, *words: str) -> None:
    """A git command that has to succeed."""
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def files_of(project: Project) -> dict[str, list[Path]]:
    """The files of each kind."""
    cache = project.root / ".dvc" / "cache"
    return {
        "artifact": [p for p in project.runs.glob("*/step_*/*") if p.is_file()],
        "object": sorted((cache / "files" / "md5").glob("*/*")),
        "lock": sorted([*project.runs.glob("*/dvc.lock"), *project.runs.glob("*/history/*.lock")]),
        "record": sorted(project.runs.glob("*/history/*.json")),
        "checksum": sorted(project.runs.glob("*/history/SHA256SUMS")),
        "result": sorted((cache / "runs").glob("*/*/*")),
        "checkpoint": sorted(project.runs.glob("*/.work/*/*/*.safetensors")),
        "prior": [p for p in (project.root / "data" / "priors").rglob("*") if p.is_file()],
    }


def flip(path: Path, chance: random.Random) -> None:
    """Change some bits of one byte; size, time and permissions stay."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(before.st_mode)


def everything(files: dict[str, list[Path]]) -> dict[Path, bytes]:
    """The content of every file of every kind."""
    return {path: path.read_bytes() for paths in files.values() for path in paths if path.is_file()}


def campaign(project: Project, count: int, seed: int) -> Iterator[tuple[str, Path, bool, bool]]:
    """Flip one byte after the other: kind, file, whether it was found, whether all is as before."""
    chance, files = random.Random(seed), files_of(project)
    whole = everything(files)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        path = chance.choice(files[kind])
        flip(path, chance)
        found = any(_names(finding.text(), path, kind) for finding in verify(project, []).findings)
        after = everything(files)
        yield kind, path, found, after == whole
        for changed in (p for p in whole if after.get(p) != whole[p]):
            changed.parent.mkdir(parents=True, exist_ok=True)
            if changed.exists():
                changed.chmod(0o644)
            changed.write_bytes(whole[changed])
        shutil.rmtree(project.state / "damaged", ignore_errors=True)


def _names(text: str, path: Path, kind: str) -> bool:
    """Whether a finding is about a file."""
    if kind == "object":
        return f"{path.parent.name}{path.name}" in text
    if kind == "result":
        return f"{path.parent.name[:8]}/{path.name[:8]}" in text
    return path.name in text and (kind == "prior" or path.parts[path.parts.index("runs") + 1] in text)


def main() -> None:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000, help="how many bytes, one at a time")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    add_write_option(parser, "flipped_bytes", "versions")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="prior3d-flips-"))
    counts, started = {kind: [0, 0, 0] for kind in KINDS}, time.perf_counter()
    try:
        for kind, path, found, healed in campaign(make_project(folder), args.flips, args.seed):
            counts[kind] = [a + b for a, b in zip(counts[kind], (1, found, healed), strict=True)]
            if not found:
                print(f"not found: {kind} {path}", flush=True)
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
    heads = ["kind of file", "bytes flipped", "found", "all as before again"]
    rows = [[kind, *map(str, numbers)] for kind, numbers in counts.items()]
    rows.append(["all", *(str(sum(numbers)) for numbers in zip(*counts.values(), strict=True))])
    for row in [heads, *rows]:
        print("".join(f"{cell:>22}" for cell in row))
    print(f"{time.perf_counter() - started:.0f} s, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if args.write:
        write_results(args.write, "flipped_bytes", markdown_table(heads, rows))


if __name__ == "__main__":
    main()
