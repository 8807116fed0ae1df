"""What a U-Net call takes on a CPU, by torch and by OpenVINO: `python benchmarks/cpu_unet.py [--only toy,sd15]`.

Both call the same network by turns in one process: the embedded toy prior's, and one of Stable Diffusion 1.5's size
with random weights, which take the same time as others. Processor time is counted, because it depends less on what else
the machine does; seconds of the clock stand beside it. Needs the extra `openvino`.
"""

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import psutil
import torch
from accelerator.random_priors import SD15, TINY
from accelerator.table import chosen
from results import add_write_option, commit, machine, markdown_table, write_results
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.graphs import OpenvinoCalls, UnetCalls, load_openvino, openvino_precisions
from prior3d.diffusion.networks import DTYPES
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.settings import Precision

NETWORKS = ("toy", "sd15")
HEADER = (
    "network",
    "by",
    "processor s a call",
    "clock s a call",
    "torch / this",
    "off by",
    "processor s until ready",
    "GiB more",
)
MATRIX = 2048
PAPER_STEPS = 5000  # of coarse_nerf's paper preset, each with one call of two: one view, with and without the text


@dataclass(frozen=True)
class Case:
    """A network, how it is told apart in the table, and what it is asked."""

    name: str
    unet: Any
    inputs: tuple[Tensor, ...]


def toy_case() -> Case:
    """The embedded prior as `latent-nerf` asks it: four views, with and without the text."""
    unet = load_text_to_image(embedded_prior("toy"), torch.device("cpu")).diffusion.unet
    return Case("toy", unet, asked(unet, 8))


def sd15_case(tiny: bool) -> Case:
    """Stable Diffusion 1.5's U-Net with random weights, asked for a pair: one view with and without the text."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    sizes = (TINY if tiny else SD15)["unet"]
    unet = UNet2DConditionModel(in_channels=4, out_channels=4, attention_head_dim=8, **sizes)
    unet = unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    millions = sum(p.numel() for p in unet.parameters()) / 1e6
    return Case(f"{'tiny' if tiny else 'SD 1.5'}, {millions:.1f} M weights", unet, asked(unet, 2))


def asked(unet: Any, batch: int) -> tuple[Tensor, ...]:
    """Inputs of a network's own size, drawn."""
    generator, config = torch.Generator().manual_seed(1), unet.config
    size, words = config.sample_size, 77
    seen = torch.randn(batch, config.in_channels, size, size, generator=generator)
    text = torch.randn(batch, words, config.cross_attention_dim, generator=generator)
    camera_dim = config.projection_class_embeddings_input_dim
    labels = () if camera_dim is None else (torch.randn(batch, camera_dim, generator=generator),)
    return (seen, torch.full((batch,), 500), text, *labels)


@torch.no_grad()
def measure(case: Case, n_turns: int) -> list[tuple[str, ...]]:
    """Rows of the table; the first call of each engine is not counted."""
    calls: dict[str, Callable[..., Tensor]] = {"torch, float32": UnetCalls(case.unet)}
    ready, memory = {"torch, float32": timed(calls["torch, float32"], case.inputs)[0]}, {"torch, float32": 0.0}
    known: tuple[Precision, ...] = openvino_precisions()
    for precision in (p for p in ("float32", "bfloat16") if p in known):
        name, before = f"OpenVINO, {precision}", psutil.Process().memory_info().rss
        calls[name] = OpenvinoCalls(case.unet, DTYPES[precision])
        ready[name] = timed(calls[name], case.inputs)[0]
        gc.collect()
        memory[name] = (psutil.Process().memory_info().rss - before) / 2**30
        case.unet.to(memory_format=torch.channels_last)  # as torch has it
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    said: dict[str, Tensor] = {}
    for _ in range(n_turns):
        for name, call in calls.items():
            processor, clock, said[name] = timed(call, case.inputs)
            spent[name].append((processor, clock))
            print(f"{case.name}: {name}: {processor:.3f} s of the processor, {clock:.3f} s", flush=True)
    return [row(case, name, spent, said, ready[name], memory[name]) for name in calls]


def timed(call: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[float, float, Tensor]:
    """Seconds of the processor and of the clock, and what was said."""
    processor, clock = time.process_time(), time.perf_counter()
    said = call(*inputs)
    return time.process_time() - processor, time.perf_counter() - clock, said


def row(
    case: Case,
    name: str,
    spent: dict[str, list[tuple[float, float]]],
    said: dict[str, Tensor],
    ready: float,
    memory: float,
) -> tuple[str, ...]:
    """One engine's line: medians, and how far what it said is from what torch said."""
    of_torch = statistics.median(processor for processor, _ in spent["torch, float32"])
    processor = statistics.median(processor for processor, _ in spent[name])
    clock = statistics.median(clock for _, clock in spent[name])
    exact = said["torch, float32"].float()
    off = (said[name].float() - exact).norm() / exact.norm()
    return (
        f"{case.name}, batch {len(case.inputs[0])} of {case.inputs[0].shape[-1]}²", name, f"{processor:.3f}",
        f"{clock:.3f}", f"{of_torch / processor:.2f}", f"{off:.1e}", f"{ready:.1f}", f"{memory:.2f}",
    )  # fmt: skip


@torch.no_grad()
def floor(case: Case) -> str:
    """What float32 arithmetic alone takes: the operations of a call over the speed of a large product of matrices."""
    with torch.device("meta"):
        unet, inputs = type(case.unet).from_config(case.unet.config), tuple(t.to("meta") for t in case.inputs)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            UnetCalls(unet)(*inputs)
    operations, one = counter.get_total_flops(), torch.randn(MATRIX, MATRIX)
    seconds = statistics.median(timed(torch.mm, (one, one))[0] for _ in range(9))
    rate = 2 * MATRIX**3 / seconds
    return (
        f"{case.name}: a call is {operations / 1e9:.1f} GFLOP; a product of two matrices of {MATRIX}² does "
        f"{rate / 1e9:.0f} in a second of the processor, in float32. At that speed a call would take "
        f"{operations / rate:.3f} s"
    )


def arithmetic(rows: list[tuple[str, ...]], n_threads: int) -> list[str]:
    """What the calls of a run would take on idle cores: processor seconds over threads, times calls. Not measured."""
    said = []
    for cells in rows:
        call = float(cells[2]) / n_threads
        if "SD 1.5" in cells[0]:
            said.append(
                f"{cells[1]}: {call:.1f} s a call on {n_threads} idle cores, so {call * PAPER_STEPS / 3600:.1f} hours "
                f"for the {PAPER_STEPS:,} calls of coarse_nerf's paper preset (arithmetic, not measured)"
            )
    return said


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default="", metavar="NETWORKS", help=f"with commas: {','.join(NETWORKS)} (default: all)"
    )
    parser.add_argument(
        "--turns", type=int, default=3, help="calls of each that are counted (default: 3; of toy 20 times)"
    )
    parser.add_argument("--threads", type=int, default=2, help="of both engines (default: 2)")
    parser.add_argument("--tiny", action="store_true", help="a tiny network for SD 1.5's: a test of this benchmark")
    add_write_option(parser, "cpu_unet", "speed")
    args = parser.parse_args()
    names = list(chosen(NETWORKS, args.only))
    torch.set_num_threads(args.threads)
    version = load_openvino().get_version().partition("-")[0]
    told = f"OpenVINO {version}, {args.threads} threads, on this processor {', '.join(openvino_precisions())}"
    print(f"{machine('cpu')}; {told}; commit {commit()}", flush=True)
    rows: list[tuple[str, ...]] = []
    floors = []
    for name in names:
        case, n_turns = (toy_case(), 20 * args.turns) if name == "toy" else (sd15_case(args.tiny), args.turns)
        floors.append(floor(case))
        rows += measure(case, n_turns)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end"
    lines = [told + "; " + load + ":", "", markdown_table(HEADER, rows), ""]
    lines += [f"{line}." for line in (*floors, *arithmetic(rows, args.threads))]
    print("\n".join(lines))
    if args.write:
        write_results(args.write, "cpu_unet", "\n".join(lines))


if __name__ == "__main__":
    main()
