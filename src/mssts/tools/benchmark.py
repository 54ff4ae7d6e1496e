"""The verb `benchmark`: how long a clip takes and where, how much memory, what share of the machine is used.

Weights are random, which changes no time. The machine's matrix product rate is measured in the same run: a share of it
can be compared between machines, a number of seconds cannot. Several presets, sizes and so on make a table.
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
from mssts.model.vis import VisModel
from mssts.predict.postprocess import masks_of
from mssts.tools.allocator import keep_freed_memory

MATMUL_SIZE = 2048
MATMUL_SECONDS = 1.0
NUM_KEPT_QUERIES = 10
SEED = 0


@dataclass
class Benchmark:
    """What was measured; times are medians in seconds per clip, memory is in bytes."""

    preset: str
    size: tuple[int, int]
    frames: int
    precision: Precision
    device: str
    threads: int
    parameters: int
    clip_s: float = 0.0
    parts_s: dict[str, float] = field(default_factory=dict)
    gflop: float = 0.0
    matmul_gflop_per_s: float = 0.0
    peak_memory: int = 0

    @property
    def frame_s(self) -> float:
        """Seconds per frame."""
        return self.clip_s / self.frames

    @property
    def matmul_share(self) -> float:
        """Counted floating-point operations per second, as a share of the matrix product rate."""
        return self.gflop / self.clip_s / self.matmul_gflop_per_s

    def table(self) -> str:
        """The numbers as text."""
        lines = [
            f"{self.preset}, {self.frames} frames of {self.size[0]}x{self.size[1]}, {self.precision}, {self.device}, "
            f"{self.threads} threads, {self.parameters / 1e6:.1f} M parameters",
            f"{'part':<34}{'s / clip':>10}{'share':>8}",
            *(f"{name:<34}{t:>10.3f}{t / self.clip_s:>8.1%}" for name, t in self.parts_s.items()),
            f"{'clip':<34}{self.clip_s:>10.3f}{1:>8.1%}",
            f"frame: {self.frame_s:.3f} s ({1 / self.frame_s:.2f} FPS), peak memory {self.peak_memory / 2**30:.2f} GiB",
            f"{self.gflop:.0f} GFLOP a clip, {self.gflop / self.clip_s:.0f} GFLOP/s = {self.matmul_share:.0%} of the "
            f"{self.matmul_gflop_per_s:.0f} GFLOP/s of {self.precision} matrix products in this run",
        ]
        return "\n".join(lines)


class Stopwatch:
    """Adds up the time inside some modules, by name, with hooks."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self._started: dict[str, float] = {}

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

    def _start(self, name: str) -> None:
        self._started[name] = self.now()

    def _stop(self, name: str) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - self._started[name]


def parts_of(model: VisModel) -> dict[str, list[nn.Module]]:
    """The model's modules by the part that a reader asks about; parts do not overlap."""
    layers = list(model.encoder.layers)
    return {
        "backbone": [model.backbone],
        "input projections": list(model.input_projections),
        "encoder: deformable attention": [layer.get_submodule("sampling") for layer in layers],
        "encoder: MS-STS attention": [m for layer in layers for name, m in layer.named_children() if name == "ms_sts"],
        "encoder: feed-forward": [layer.get_submodule("feed_forward") for layer in layers],
        "decoder": [model.decoder],
        "mask features": [model.mask_feature_head],
    }


@torch.inference_mode()
def measure(
    name: str, size: tuple[int, int], frames: int, repeat: int, device: torch.device, precision: Precision = "fp32"
) -> Benchmark:
    """Run a preset on one random clip, masks of 10 queries included, and take the medians of `repeat` runs."""
    torch.manual_seed(SEED)
    model = VisModel(preset(name)).eval().requires_grad_(False).to(device)
    clip = torch.randn(1, frames, 3, *size, device=device)
    queries = torch.arange(min(NUM_KEPT_QUERIES, model.config.num_queries), device=device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    result = Benchmark(name, size, frames, precision, str(device), torch.get_num_threads(), parameters)

    def run() -> None:
        """One clip, masks included."""
        with computing_in(precision, device):
            prediction = model(clip)
        masks_of(prediction, queries, size)

    result.gflop = count_operations(run) / 1e9
    result.matmul_gflop_per_s = matmul_rate(device, torch.float32 if precision == "fp32" else torch.bfloat16)
    runs = [_timed(run, model, device) for _ in range(repeat)]
    result.clip_s = statistics.median(total for total, _ in runs)
    parts = {part: statistics.median(seconds.get(part, 0.0) for _, seconds in runs) for part in parts_of(model)}
    parts["rest (masks of the kept queries, …)"] = max(0.0, result.clip_s - sum(parts.values()))
    result.parts_s = {part: seconds for part, seconds in parts.items() if seconds > 0}
    result.peak_memory = peak_memory(device)
    return result


def count_operations(run: Callable[[], None]) -> int:
    """Floating-point operations of matrix products, convolutions and attention; PyTorch knows no others."""

    def attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
        return sdpa_flop_count(query, key, value)

    # The CPU's own attention is missing in PyTorch's list, where it would count as nothing.
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=missing) as counter:
        run()
    return counter.get_total_flops()


def _timed(run: Callable[[], None], model: VisModel, device: torch.device) -> tuple[float, dict[str, float]]:
    """Seconds of one run, in all and by part."""
    stopwatch = Stopwatch(device)
    start = stopwatch.now()
    with stopwatch.watch(parts_of(model)):
        run()
    return stopwatch.now() - start, stopwatch.seconds


def matmul_rate(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """Best GFLOP/s of square matrix products within a second."""
    a, b = torch.randn(2, MATMUL_SIZE, MATMUL_SIZE, device=device, dtype=dtype)
    stopwatch = Stopwatch(device)
    best, begin = float("inf"), stopwatch.now()
    while stopwatch.now() - begin < MATMUL_SECONDS:
        start = stopwatch.now()
        torch.mm(a, b)
        best = min(best, stopwatch.now() - start)
    return 2 * MATMUL_SIZE**3 / best / 1e9


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes that the process (CPU) or its tensors on the device (GPU) ever held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run_benchmark(options: argparse.Namespace) -> int:
    """Measure and print, and write JSON if asked to.

    Raises:
        BadInputError: There is no such preset.
        UsageError: Training steps are measured one setting at a time, in float32.
    """
    for name in options.preset:
        if name not in preset_names():
            raise BadInputError(f"no preset '{name}'; there are {', '.join(preset_names())}")
    settings = list(itertools.product(options.preset, options.size, options.frames, options.precision))
    if options.train and (len(settings) > 1 or options.precision != ["fp32"]):
        raise UsageError("benchmark: --train takes one preset, size and number of frames, and fp32")
    if len(settings) > 1:
        from mssts.tools.benchmark_table import benchmark_table

        return benchmark_table(settings, options.repeat, options.device, options.json)
    keep_freed_memory()
    device = pick_device(options.device)
    name, size, frames, precision = settings[0]
    if options.train:
        return _benchmark_training(options, device)
    result = measure(name, size, frames, options.repeat, device, precision)
    print(result.table())
    if options.json:
        facts = asdict(result) | {"frame_s": result.frame_s, "matmul_share": result.matmul_share}
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
