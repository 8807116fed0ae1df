"""What versions cost when there are many: `python benchmarks/versions.py [--versions 1000] [--runs 1000]`.

One real run of five stages that do nothing; its versions and its folder are then copied. Commands are timed inside one
process that has done its imports, each three times; `run` is timed as a whole process. Processor seconds are those to
look at while other work keeps the cores busy. Then a run gets a file of `--megabytes`, which `restore` brings back
beside a plain copy of it (both flushed to the disk), and, with Chromium, a comparison of two runs of the size of real
ones is opened from the disk.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from orchestration import COMMAND, command_line, seconds
from results import add_write_option, markdown_table, write_results

REPEATS = 3


def copy_versions(run: Path, count: int) -> None:
    """Give a run so many versions: each lock has another parameter's value in it, each record another time."""
    history = run / "history"
    lock, record = (history / "0001.lock").read_text(), json.loads((history / "0001.json").read_text())
    for number in range(2, count + 1):
        record["when"] = f"2026-01-{1 + number % 28:02d}T12:{number % 60:02d}:00Z"
        record["changes"] = [f"step_0.seed: {number - 1} -> {number}"]
        (history / f"{number:04d}.lock").write_text(lock.replace("seed: 0", f"seed: {number}", 1))
        (history / f"{number:04d}.json").write_text(json.dumps(record, indent=1))


def copy_runs(run: Path, count: int) -> None:
    """Put so many runs beside it; only what DVC writes anew is not shared with the first."""

    def copied(source: str, target: str) -> None:
        shutil.copyfile(source, target) if source.endswith(".lock") else os.link(source, target)

    for number in range(count):
        shutil.copytree(run, run.with_name(f"copy-{number:04d}"), copy_function=copied)


def timed(words: list[str], repeats: int = REPEATS) -> tuple[float, float]:
    """Wall and processor seconds of the quickest of a few calls of a command, in this process."""
    calls = []
    for _ in range(repeats):
        said = io.StringIO()
        started, used = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(said):
            code = command_line(words)
        calls.append((time.perf_counter() - started, time.process_time() - used))
        if code:
            raise SystemExit(f"prior3d {' '.join(words)} failed")
    return min(calls)


def flush(file: Path) -> None:
    """Wait until a file is on the disk."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def restoring(run: Path, megabytes: int) -> tuple[float, float]:
    """Megabytes a second of a plain copy of a big file, and of `restore` of the version that has it."""
    big, copy = run / "step_0" / "big.bin", run / ".work" / "copy.bin"
    big.write_bytes(os.urandom(megabytes * 1_000_000))
    copying = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        shutil.copyfile(big, copy)
        flush(copy)
        copying.append(time.perf_counter() - started)
        copy.unlink()
    timed(["accept", run.name], 1)
    restored = []
    for _ in range(REPEATS):
        big.chmod(0o644)
        big.unlink()
        started = time.perf_counter()
        timed(["restore", run.name], 1)
        flush(big)
        restored.append(time.perf_counter() - started)
    if big.stat().st_size != megabytes * 1_000_000:
        raise SystemExit("restore brought back something else")
    return megabytes / min(copying), megabytes / min(restored)


def opening(project: Path) -> tuple[float, float] | None:
    """Seconds until a comparison of two runs is there in Chromium, and its megabytes; None without Chromium."""
    from tests.browser import CHROMIUM, chromium

    if CHROMIUM is None:
        return None
    import numpy as np
    import trimesh
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (560, 560, 3), dtype=np.uint8)  # what compresses least
    texture = Image.fromarray(noise).resize((1024, 1024), Image.Resampling.BICUBIC)
    for number, name in enumerate(("copy-0000", "copy-0001")):
        folder = project / "data" / "runs" / name / "step_4"
        ball = trimesh.creation.icosphere(subdivisions=5, radius=0.8)
        ball.visual = trimesh.visual.TextureVisuals(
            uv=ball.vertices[:, :2] / 2 + 0.5, material=trimesh.visual.material.PBRMaterial(baseColorTexture=texture)
        )
        ball.export(folder / "mesh.glb")
        (folder / "frames").mkdir()
        for view in range(36):
            texture.rotate(10 * view + number).resize((160, 160)).save(folder / "frames" / f"mesh_{view:03d}.png")
        texture.resize((512, 512)).save(folder / "preview.png")
        timed(["accept", name], 1)
    page = project / "page.html"
    timed(["compare", "copy-0000", "copy-0001", "--to", str(page)], 1)
    seconds_open = []
    for _ in range(REPEATS):
        with chromium() as browser:
            browser.look(1280, 900)
            seconds_open.append(browser.open(page))
            if browser.errors:
                raise SystemExit(f"the page complains: {browser.errors}")
    return min(seconds_open), page.stat().st_size / 1e6


def process(words: list[str], project: Path) -> tuple[float, float]:
    """The same of the quickest of a few processes."""
    calls = []
    for _ in range(REPEATS):
        before = os.times()
        wall = seconds(words, project)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        calls.append((wall, used))
    return min(calls)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=1000, help="of one run")
    parser.add_argument("--runs", type=int, default=1000, help="beside it")
    parser.add_argument("--megabytes", type=int, default=1024, help="of the file that is restored")
    add_write_option(parser, "versions", "versions")
    args = parser.parse_args()
    project = Path(tempfile.mkdtemp(prefix="prior3d-versions-"))
    run = [*COMMAND, "run", "trivial", "--text", "one", "--name", "one", "--plain"]
    try:
        seconds([*COMMAND, "init"], project)
        seconds(run, project)
        folder = project / "data" / "runs" / "one"
        copy_runs(folder, args.runs)
        copy_versions(folder, args.versions)
        os.chdir(project)
        last = args.versions
        rows = {
            "log": timed(["log", "one"]),
            "log --all": timed(["log", "one", "--all"]),
            "diff, two versions": timed(["diff", "one@1", f"one@{last}"]),
            "diff, the present one": timed(["diff", f"one@{last // 2}", "one"]),
            "restore": timed(["restore", f"one@{last // 2}"]),
            "open": timed(["open", "one", "--no-browser"]),
            "gallery, first time": timed(["gallery"], 1),
            "gallery": timed(["gallery"]),
            "gc, nothing to remove": timed(["gc", "--yes"]),
            "ls": timed(["ls"]),
        }
        folder = project / "data" / "runs" / "copy-0000"
        rows["run, nothing to do (process)"] = process([*run[:-2], "copy-0000", run[-1]], project)
        copied, restored = restoring(folder, args.megabytes)
        opened = opening(project)
    finally:
        os.chdir("/")
        shutil.rmtree(project, ignore_errors=True)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{args.versions:,} versions of one run, {args.runs:,} runs; {load}")
    print(f"{'':34}{'wall':>10}{'processor':>12}")
    for name, (wall, used) in rows.items():
        print(f"{name:34}{wall:8.3f} s{used:10.3f} s")
    restoring_told = f"restore of {args.megabytes} MB: {restored:,.0f} MB/s, a plain copy {copied:,.0f} MB/s"
    page = "no Chromium here" if opened is None else f"{opened[1]:.1f} MB, there after {opened[0]:.2f} s"
    opening_told = f"a comparison of two runs, from the disk in Chromium: {page}"
    print(f"{restoring_told}\n{opening_told}")
    if args.write:
        table = [(name, f"{wall:.3f}", f"{used:.3f}") for name, (wall, used) in rows.items()]
        text = markdown_table(["command", "seconds, clock", "seconds, processor"], table)
        write_results(args.write, "versions", f"{text}\n\n- {restoring_told}\n- {opening_told}")


if __name__ == "__main__":
    sys.exit(main())
