"""The verb `benchmark`: how long a clip takes and where, how much memory, what share of the machine is used.

Weights are random, which changes no time. The machine's matrix product rate is measured in turns with the clips, of
training steps after them: a share of it can be compared between machines, a number of seconds cannot. Several presets,
sizes and so on make a table.
"""

import argparse
import itertools
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from mssts.api import pick_device
from mssts.atomic_file import write_atomically
from mssts.config import preset, preset_names
from mssts.errors import BadInputError, UsageError
from mssts.model.precision import Precision, computing_in
from mssts.model.torch_compile import compile_model
from mssts.model.vis import VisModel
from mssts.predict.postprocess import masks_of
from mssts.tools.allocator import keep_freed_memory

MATMUL_SIZE = 2048
# A GPU is through with a smaller one before the next is under way.
CUDA_MATMUL_SIZE = 8192
MATMUL_SECONDS = 0.5
NUM_KEPT_QUERIES = 10
SEED = 0


@dataclass
class Benchmark:
    """What was measured; times are medians in seconds per clip, memory is in bytes.

    Attributes:
        parts_s: By part; empty for a compiled model, whose parts are no longer apart.
        matmul_gflop_per_s: Mean rate of matrix products, measured in turns with the clips.
        matmul_share: Mean rate of the clips' counted operations, as a share of that.
    """

    preset: str
    size: tuple[int, int]
    frames: int
    precision: Precision
    compiled: bool
    device: str
    threads: int
    parameters: int
    clip_s: float = 0.0
    parts_s: dict[str, float] = field(default_factory=dict)
    gflop: float = 0.0
    matmul_gflop_per_s: float = 0.0
    matmul_share: float = 0.0
    peak_memory: int = 0

    @property
    def frame_s(self) -> float:
        """Seconds per frame."""
        return self.clip_s / self.frames

    def table(self) -> str:
        """The numbers as text."""
        compiled = ", compiled" if self.compiled else ""
        lines = [
            f"{self.preset}, {self.frames} frames of {self.size[0]}x{self.size[1]}, {self.precision}{compiled}, "
            f"{self.device}, {self.threads} threads, {self.parameters / 1e6:.1f} M parameters",
            f"{'part':<36}{'s / clip':>10}{'share':>8}",
            *(f"{name:<36}{t:>10.3f}{t / self.clip_s:>8.1%}" for name, t in self.parts_s.items()),
            f"{'clip':<36}{self.clip_s:>10.3f}{1:>8.1%}",
            f"frame: {self.frame_s:.3f} s ({1 / self.frame_s:.2f} FPS), peak memory {self.peak_memory / 2**30:.2f} GiB",
            "medians after a first clip; random weights; the model and masks of 10 queries, without files and linking",
            f"{self.gflop:.0f} GFLOP a clip (a multiplication and an addition are 2), "
            f"{self.gflop / self.clip_s:.0f} GFLOP/s: {self.matmul_share:.0%} of what large matrix products reach here",
            f"({self.precision}, {self.matmul_gflop_per_s:.0f} GFLOP/s, measured between the clips; both are means)",
        ]
        return "\n".join(lines)


Moment = float | torch.cuda.Event
"""Seconds of a clock, or on a GPU something that its own clock is read from later."""


class Stopwatch:
    """Adds up the time inside some modules, by name, with hooks."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._started: dict[str, Moment] = {}
        self._spans: list[tuple[str, Moment, Moment]] = []

    def now(self) -> float:
        """The time when all work given to the device so far is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def watch(self, parts: dict[str, list[nn.Module]]) -> Iterator[None]:
        """Time the modules of each part while the context lasts."""
        handles = []
        for name, modules in parts.items():
            for module in modules:
                handles.append(module.register_forward_pre_hook(lambda *_, name=name: self._start(name)))
                handles.append(module.register_forward_hook(lambda *_, name=name: self._stop(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def seconds(self) -> dict[str, float]:
        """The time inside the modules so far, by part."""
        self.now()  # on a GPU, the last moments may not have come yet
        sums: dict[str, float] = {}
        for name, start, stop in self._spans:
            sums[name] = sums.get(name, 0.0) + _between(start, stop)
        return sums

    def _start(self, name: str) -> None:
        self._started[name] = self._moment()

    def _stop(self, name: str) -> None:
        self._spans.append((name, self._started[name], self._moment()))

    def _moment(self) -> Moment:
        """Now; on a GPU when it gets here, for waiting for it between the parts would make all of them slower."""
        if self.device.type != "cuda":
            return self.now()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event


def _between(start: Moment, stop: Moment) -> float:
    """Seconds between two moments of one device."""
    if isinstance(start, torch.cuda.Event) and isinstance(stop, torch.cuda.Event):
        return start.elapsed_time(stop) / 1e3
    assert isinstance(start, float)
    assert isinstance(stop, float)
    return stop - start


def parts_of(model: VisModel) -> dict[str, list[nn.Module]]:
    """The model's modules by the part that a reader asks about; parts do not overlap."""
    layers = list(model.encoder.layers)
    return {
        "backbone": [model.backbone],
        "input projections": list(model.input_projections),
        "encoder: deformable attention": [
            layer.get_submodule(name) for layer in layers for name in ("sampling", "sampling.value_proj")
        ],
        "encoder: MS-STS attention": [m for layer in layers for name, m in layer.named_children() if name == "ms_sts"],
        "encoder: feed-forward": [layer.get_submodule("feed_forward") for layer in layers],
        "decoder": [model.decoder],
        "mask features": [model.mask_feature_head],
    }


@torch.inference_mode()
def measure(
    name: str,
    size: tuple[int, int],
    frames: int,
    repeat: int,
    device: torch.device,
    precision: Precision = "fp32",
    compiled: bool = False,
) -> Benchmark:
    """Run a preset on one random clip, masks of 10 queries included, and take the medians of `repeat` runs.

    On a GPU, PyTorch's defaults hold for `fp32`: TF32 in convolutions, full float32 in matrix products.
    """
    torch.manual_seed(SEED)
    model = VisModel(preset(name)).eval().requires_grad_(False).to(device)
    clip = torch.randn(1, frames, 3, *size, device=device)
    queries = torch.arange(min(NUM_KEPT_QUERIES, model.config.num_queries), device=device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    result = Benchmark(name, size, frames, precision, compiled, str(device), torch.get_num_threads(), parameters)

    def run() -> None:
        """One clip, masks included."""
        with computing_in(precision, device):
            prediction = model(clip)
        masks_of(prediction, queries, size)

    result.gflop = clip_operations(name, size, frames) / 1e9
    parts = {} if compiled else parts_of(model)
    if compiled:
        compile_model(model)
    # Whatever is chosen or made at the first call, such as kernels, is ready after it; a compiled model at the second.
    for _ in range(2 if compiled else 1):
        run()
    # In turns: what a shared machine gives changes from second to second.
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    rates, runs, peaks = [matmul_rate(device, dtype)], [], []
    for _ in range(repeat):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        runs.append(_timed(run, parts, device))
        peaks.append(peak_memory(device))
        rates.append(matmul_rate(device, dtype))
    result.peak_memory = max(peaks)
    result.clip_s = statistics.median(total for total, _ in runs)
    result.matmul_gflop_per_s = statistics.mean(rates)
    result.matmul_share = result.gflop / statistics.mean(total for total, _ in runs) / result.matmul_gflop_per_s
    result.parts_s = _medians([seconds for _, seconds in runs], list(parts), result.clip_s)
    return result


def _medians(runs: list[dict[str, float]], parts: list[str], clip_s: float) -> dict[str, float]:
    """The median time of each part over several runs, and what is left of the clip's."""
    if not parts:
        return {}
    medians = {part: statistics.median(seconds.get(part, 0.0) for seconds in runs) for part in parts}
    medians["rest (masks of the kept queries, …)"] = max(0.0, clip_s - sum(medians.values()))
    return {part: seconds for part, seconds in medians.items() if seconds > 0}


def clip_operations(name: str, size: tuple[int, int], frames: int) -> int:
    """What `measure` runs, counted on a model without numbers: it takes no memory, and has no kernels to hide any."""
    with torch.device("meta"):
        model = VisModel(preset(name)).eval().requires_grad_(False)
        clip = torch.empty(1, frames, 3, *size)
        queries = torch.arange(min(NUM_KEPT_QUERIES, model.config.num_queries))
    return count_operations(lambda: masks_of(model(clip), queries, size))


def count_operations(run: Callable[[], object]) -> int:
    """Floating-point operations of matrix products, convolutions and attention; PyTorch knows no others."""

    def attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
        return sdpa_flop_count(query, key, value)

    # The CPU's own attention is missing in PyTorch's list, where it would count as nothing.
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=missing) as counter:
        run()
    return counter.get_total_flops()


def _timed(
    run: Callable[[], None], parts: dict[str, list[nn.Module]], device: torch.device
) -> tuple[float, dict[str, float]]:
    """Seconds of one run, in all and by part."""
    stopwatch = Stopwatch(device)
    start = stopwatch.now()
    with stopwatch.watch(parts):
        run()
    return stopwatch.now() - start, stopwatch.seconds


def matmul_rate(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """Mean GFLOP/s of square matrix products for half a second."""
    size = CUDA_MATMUL_SIZE if device.type == "cuda" else MATMUL_SIZE
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    torch.mm(a, b)  # the first one may load a library
    stopwatch = Stopwatch(device)
    begin, count = stopwatch.now(), 0
    while (passed := stopwatch.now() - begin) < MATMUL_SECONDS:
        torch.mm(a, b)
        count += 1
    return 2 * size**3 * count / passed / 1e9


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes that the process (CPU) ever held, or its tensors on the device (GPU) since a reset."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run_benchmark(options: argparse.Namespace) -> int:
    """Measure and print, and write JSON if asked to.

    Raises:
        BadInputError: There is no such preset.
        UsageError: Training steps are measured one setting at a time, in float32, not compiled.
    """
    for name in options.preset:
        if name not in preset_names():
            raise BadInputError(f"no preset '{name}'; there are {', '.join(preset_names())}")
    settings = list(itertools.product(options.preset, options.size, options.frames, options.precision))
    if options.train and (len(settings) > 1 or options.precision != ["fp32"] or options.compile):
        raise UsageError("benchmark: --train takes one preset, size and number of frames, and fp32, not compiled")
    if len(settings) > 1:
        from mssts.tools.benchmark_table import benchmark_table

        return benchmark_table(settings, options.repeat, options.device, options.compile, options.json)
    keep_freed_memory()
    device = pick_device(options.device)
    name, size, frames, precision = settings[0]
    if options.train:
        return _benchmark_training(options, device)
    result = measure(name, size, frames, options.repeat, device, precision, options.compile)
    print(result.table())
    if options.json:
        facts = asdict(result) | {"frame_s": result.frame_s}
        write_atomically(options.json, json.dumps(facts, indent=1) + "\n")
    return 0


def _benchmark_training(options: argparse.Namespace, device: torch.device) -> int:
    """Measure a training step instead."""
    from mssts.tools.train import require_training_libraries

    require_training_libraries()
    from mssts.tools.benchmark_train import measure_training

    measured = measure_training(
        options.preset[0], options.size[0], options.frames[0], options.repeat, device, options.checkpointing
    )
    print(measured.table())
    if options.json:
        facts = asdict(measured) | {"step_s": measured.step_s}
        write_atomically(options.json, json.dumps(facts, indent=1) + "\n")
    return 0
