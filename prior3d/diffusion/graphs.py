"""Calls of frozen networks by graphs of a known shape: CUDA graphs on a GPU; on a CPU, if asked for, OpenVINO's.

On a fast GPU, launching the kernels of a U-Net of Stable Diffusion's size takes longer than computing them. A graph
launches all of them at once, for tensors at fixed places. The eager call stays the reference: it serves other devices,
calls that need a gradient, rare shapes, and a GPU on which capturing fails, which a warning says.

OpenVINO compiles a frozen U-Net for the processor that is there. It answers every call or refuses it: none is eager.
"""

import importlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from prior3d.errors import Prior3dError, Prior3dWarning
from prior3d.settings import Precision

CALLS_BEFORE = 2  # of a shape, before it is worth a graph; they also warm up what chooses algorithms
WARM_UP_CALLS = 2  # on the stream that captures
MOST_SHAPES = 6  # each graph keeps the network's intermediate values of its shape
MOST_COMPILED = 2  # sizes that OpenVINO keeps: each holds the network's weights once more
ARITHMETIC = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}  # OpenVINO's names
NO_CHANGE = "engine openvino runs a frozen U-Net, without gradients and without a LoRA that learns; set engine=torch"

Shape = tuple[tuple[tuple[int, ...], torch.dtype] | None, ...]


@dataclass(frozen=True)
class _Captured:
    """A graph, and where it reads its inputs and leaves its output."""

    graph: Any
    inputs: tuple[Tensor | None, ...]
    output: Tensor

    def replay(self, inputs: tuple[Tensor | None, ...]) -> Tensor:
        for place, value in zip(self.inputs, inputs, strict=True):
            if place is not None and value is not None:
                place.copy_(value, non_blocking=True)
        self.graph.replay()
        return self.output.clone()


class UnetCalls:
    """Calls a frozen U-Net of diffusers, eagerly or by a graph of the call's shapes.

    Attributes:
        capturing: whether graphs are used; False is the eager reference.
        n_replayed: calls that a graph answered.
    """

    def __init__(self, unet: Any) -> None:
        """Take the network as it is; on devices other than CUDA every call is eager."""
        self.unet = unet
        self.capturing: bool = unet.device.type == "cuda"
        self.n_replayed = 0
        self._counts: dict[Shape, int] = {}
        self._graphs: dict[Shape, _Captured] = {}
        self._pool: Any = None

    def __call__(
        self,
        seen: Float[Tensor, "all channels_in h w"],
        timesteps: Int[Tensor, " all"],
        text: Float[Tensor, "all tokens width"] | None = None,
        labels: Float[Tensor, "all classes"] | None = None,
    ) -> Float[Tensor, "all channels_out h w"]:
        """What the U-Net says, in its own precision."""
        inputs = (seen, timesteps, text, labels)
        if not self.capturing or _needs_gradient(inputs):
            return self._eager(inputs)
        shape = _shape_of(inputs)
        captured = self._graphs.get(shape) or self._captured(shape, inputs)
        if captured is None:
            return self._eager(inputs)
        self.n_replayed += 1
        return captured.replay(inputs)

    def _eager(self, inputs: tuple[Tensor | None, ...]) -> Tensor:
        return _said(self.unet, *inputs)

    def _captured(self, shape: Shape, inputs: tuple[Tensor | None, ...]) -> _Captured | None:
        """The graph of a shape that came often enough; None: not yet, too many shapes, or it cannot be captured."""
        self._counts[shape] = self._counts.get(shape, 0) + 1
        if self._counts[shape] <= CALLS_BEFORE or len(self._graphs) >= MOST_SHAPES:
            return None
        places = tuple(None if value is None else value.detach().clone() for value in inputs)
        try:
            graph, output, self._pool = captured(lambda: self._eager(places), self._pool)
        except (RuntimeError, ValueError) as error:  # out of memory, or an operation that cannot be captured
            self.capturing = False
            warn_of_eager("the U-Net", error)
            return None
        self._graphs[shape] = _Captured(graph, places, output)
        return self._graphs[shape]


class OpenvinoCalls:
    """Calls a frozen U-Net of diffusers on the CPU by OpenVINO, which compiles it for each size of latents.

    The number of views stays open: with some networks, OpenVINO 2026.4 crashes where it is fixed too. Compiling takes
    as long as some calls do. The sizes of the latest calls are kept.

    Attributes:
        n_compiled: how often the network was compiled.
    """

    def __init__(self, unet: Any, dtype: torch.dtype) -> None:
        """Take the network, whose weights become float32, and the type in which OpenVINO computes.

        Raises:
            Prior3dError: OpenVINO is not installed, or the network is not on the CPU.
        """
        if unet.device.type != "cpu":
            raise Prior3dError(f"engine openvino runs U-Nets on the CPU, not on {unet.device}; set engine=torch")
        self._library, self._arithmetic = load_openvino(), ARITHMETIC[dtype]
        self.unet = unet.float().to(memory_format=torch.contiguous_format)  # of other layouts it makes a copy
        self.n_compiled = 0
        self._compiled: dict[tuple[torch.Size, ...], Any] = {}  # the latest last

    def __call__(
        self,
        seen: Float[Tensor, "all channels_in h w"],
        timesteps: Int[Tensor, " all"],
        text: Float[Tensor, "all tokens width"] | None = None,
        labels: Float[Tensor, "all classes"] | None = None,
    ) -> Float[Tensor, "all channels_out h w"]:
        """What the U-Net says, in float32 (raises Prior3dError for an input that needs a gradient)."""
        inputs = (seen, timesteps, text, labels)
        if _needs_gradient(inputs):
            raise Prior3dError(NO_CHANGE)
        given = tuple(_plain(value) for value in inputs if value is not None)
        sizes = tuple(value.shape[1:] for value in given)
        compiled = self._compiled.pop(sizes, None)
        if compiled is None:
            while len(self._compiled) >= MOST_COMPILED:
                del self._compiled[next(iter(self._compiled))]
            compiled = self._compile(given)
        self._compiled[sizes] = compiled
        return torch.from_numpy(compiled.infer([value.numpy() for value in given], share_inputs=True)[0])

    def _compile(self, given: tuple[Tensor, ...]) -> Any:
        """The network for inputs of these sizes, as a request that is used again and again."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of sizes, which stay as they are
            model = self._library.convert_model(_Positional(self.unet).eval(), example_input=given, share_weights=True)
        model.reshape({0: [-1, *given[0].shape[1:]]})
        how = {
            "INFERENCE_PRECISION_HINT": self._arithmetic,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # several runs at once would all lie on the first cores
        }
        self.n_compiled += 1
        return self._library.Core().compile_model(model, "CPU", how).create_infer_request()


class _Positional(nn.Module):
    """A U-Net that takes its inputs by their places and gives a tensor, as tracing wants it."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self, seen: Tensor, timesteps: Tensor, text: Tensor | None = None, labels: Tensor | None = None
    ) -> Tensor:
        return _said(self.unet, seen, timesteps, text, labels)


def load_openvino() -> Any:
    """The library, which the extra `openvino` brings (raises Prior3dError where it is not installed)."""
    # Its converter would tell its makers of each conversion, over the network; it goes without where this is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "openvino"
        why = "is not installed" if missing else f"cannot be imported ({error})"
        raise Prior3dError(f"engine openvino: OpenVINO {why}; type: pip install 'prior3d[openvino]'") from error


def openvino_precisions() -> tuple[Precision, ...]:
    """What OpenVINO computes in on this processor: float32, and the 16 bits that the processor has instructions for.

    Raises:
        Prior3dError: OpenVINO is not installed.
    """
    has = load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    both: tuple[tuple[Precision, str], ...] = (("bfloat16", "BF16"), ("float16", "FP16"))
    return ("float32", *(precision for precision, name in both if name in has))


class EncoderCalls:
    """Calls of a frozen encoder with a gradient, forward and backward by graphs of the images' shape.

    A graph holds the values of one pass. A second call before the backward pass of the first is therefore eager.

    Attributes:
        capturing: whether graphs are used; False is the eager reference.
        n_replayed: calls that a graph answered.
    """

    def __init__(
        self,
        encode: Callable[[Float[Tensor, "views 3 height width"]], Float[Tensor, "views channels h w"]],
        device: torch.device,
    ) -> None:
        """Take the encoder as a function of images; its weights stay where they are."""
        self.encode = encode
        self.capturing: bool = device.type == "cuda"
        self.n_replayed = 0
        self._counts: dict[Shape, int] = {}
        self._graphs: dict[Shape, Callable[[Tensor], Tensor]] = {}
        self._open = False  # a graph's forward pass whose backward pass has not come yet

    def __call__(self, images: Float[Tensor, "views 3 height width"]) -> Float[Tensor, "views channels h w"]:
        """Latents, in the network's precision."""
        if not self.capturing or self._open or not _needs_gradient((images,)):
            return self.encode(images)
        shape: Shape = ((tuple(images.shape), images.dtype),)
        replayed = self._graphs.get(shape) or self._captured(shape, images)
        if replayed is None:
            return self.encode(images)
        self.n_replayed += 1
        latents = replayed(images).clone()
        self._open = True
        latents.register_hook(self._close)
        return latents

    def _close(self, gradient: Tensor) -> Tensor:
        self._open = False
        return gradient

    def _captured(self, shape: Shape, images: Tensor) -> Callable[[Tensor], Tensor] | None:
        self._counts[shape] = self._counts.get(shape, 0) + 1
        if self._counts[shape] <= CALLS_BEFORE or len(self._graphs) >= MOST_SHAPES:
            return None
        sample = images.detach().clone().requires_grad_()
        try:
            made: Any = torch.cuda.make_graphed_callables(self.encode, (sample,))
        except (RuntimeError, ValueError) as error:
            self.capturing = False
            warn_of_eager("the encoder", error)
            return None
        self._graphs[shape] = made
        return self._graphs[shape]


def captured(call: Callable[[], Float[Tensor, "*shape"]], pool: Any = None) -> tuple[Any, Float[Tensor, "*shape"], Any]:
    """Capture a call that takes no gradient: its graph, the tensor that replays fill, and the graph's memory pool.

    Args:
        call: reads tensors that stay where they are.
        pool: of an earlier graph that is never replayed at the same time; None: a new one.
    """
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside), torch.no_grad():
        for _ in range(WARM_UP_CALLS):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool), torch.no_grad():
        output = call()
    return graph, output, graph.pool()


def warn_of_eager(what: str, error: Exception) -> None:
    """Say that a network runs without graphs, and why."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    text = f"{what} cannot be captured in a CUDA graph ({reason}); it runs without one, with the same results, slower"
    warnings.warn(text, Prior3dWarning, stacklevel=2)


def _said(unet: Any, seen: Any, timesteps: Any, text: Any = None, labels: Any = None) -> Tensor:
    """The eager call."""
    texts = {} if text is None else {"encoder_hidden_states": text, "class_labels": labels}
    output: Tensor = unet(seen, timesteps, **texts, return_dict=False)[0]
    return output


def _plain(value: Tensor) -> Tensor:
    """Numbers as OpenVINO reads them: float32 or int64, each after the other."""
    return value.detach().to(torch.float32 if value.is_floating_point() else torch.int64).contiguous()


def _shape_of(inputs: tuple[Tensor | None, ...]) -> Shape:
    return tuple(None if value is None else (tuple(value.shape), value.dtype) for value in inputs)


def _needs_gradient(inputs: tuple[Tensor | None, ...]) -> bool:
    return torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in inputs)
