"""Times of deformable attention's sampling: `OMP_NUM_THREADS=1 python benchmarks/deformable.py [--device cuda]`.

Compares, at the encoder's shapes, a grid_sample call per frame and level with all samples kept until the end (the form
that public implementations take on a CPU), the plain PyTorch form, and the form that is made for the device: Numba's on
the CPU, Triton's on a GPU. The forms take turns, so that a busy machine slows all of them alike; the ratios are those
of the medians.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mssts.api import pick_device
from mssts.atomic_file import write_atomically
from mssts.model.deformable import sample_deformable_reference
from mssts.model.pyramid import SpatialShapes

Sampler = Callable[[Tensor, SpatialShapes, Tensor, Tensor], Tensor]
# The levels of a frame of 360x640 pixels: strides 8, 16, 32 and 64.
SHAPES = ((45, 80), (23, 40), (12, 20), (6, 10))
NUM_POINTS = 4
# By kind of device: name, module and function of the form that is made for it.
OWN_FORMS = {
    "cpu": ("Numba form", "mssts.model.deformable_numba", "sample_deformable_numba"),
    "cuda": ("Triton form", "mssts.model.deformable_triton", "sample_deformable_triton"),
}


def sample_frame_by_frame(values: Tensor, shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Sample each frame by itself: one map per head and level, all samples stacked, then weighted and summed."""
    outputs = []
    for frame_values, frame_locations, frame_weights in zip(values, locations, weights, strict=True):
        levels = frame_values.split([height * width for height, width in shapes])
        samples = []
        for index, (level, (height, width)) in enumerate(zip(levels, shapes, strict=True)):
            level_map = level.permute(1, 2, 0).reshape(level.shape[1], level.shape[2], height, width)
            grid = frame_locations[:, :, index].transpose(0, 1) * 2 - 1
            samples.append(F.grid_sample(level_map, grid, padding_mode="zeros", align_corners=False))
        weights_by_head = frame_weights.transpose(0, 1).flatten(2)[:, None]
        outputs.append((torch.stack(samples, -2).flatten(-2) * weights_by_head).sum(-1).permute(2, 0, 1).flatten(1))
    return torch.stack(outputs)


def samplers_for(device: torch.device) -> dict[str, Sampler]:
    """The forms by name, the one for the device last; it is imported here, since the import may compile."""
    name, module, function = OWN_FORMS[device.type]
    return {
        "grid_sample frame by frame": sample_frame_by_frame,
        "plain PyTorch form": sample_deformable_reference,
        name: getattr(import_module(module), function),
    }


def encoder_inputs(frames: int, heads: int, depth: int, spread: float, device: torch.device) -> list[Tensor]:
    """Make random values and weights, and points around each token's own place, `spread` pixels of the level away."""
    torch.manual_seed(0)
    centers = []
    for height, width in SHAPES:
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        centers.append(torch.stack((x, y), -1).flatten(0, 1))
    reference = torch.cat(centers)
    pixels = torch.tensor([(1 / width, 1 / height) for height, width in SHAPES])[:, None]
    offsets = torch.randn(frames, len(reference), heads, len(SHAPES), NUM_POINTS, 2) * spread * pixels
    values = torch.randn(frames, len(reference), heads, depth)
    weights = torch.randn(frames, len(reference), heads, len(SHAPES) * NUM_POINTS).softmax(-1)
    locations = reference[:, None, None, None] + offsets
    inputs = (values, locations, weights.unflatten(-1, (len(SHAPES), NUM_POINTS)))
    return [tensor.to(device).requires_grad_() for tensor in inputs]


def now(device: torch.device) -> float:
    """The time when the device is through with all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def forward_s(sampler: Sampler, values: Tensor, locations: Tensor, weights: Tensor) -> float:
    """Time a call without gradients."""
    with torch.inference_mode():
        start = now(values.device)
        sampler(values, SHAPES, locations, weights)
        return now(values.device) - start


def forward_and_backward_s(sampler: Sampler, values: Tensor, locations: Tensor, weights: Tensor) -> float:
    """Time a call and the gradients of all its inputs."""
    start = now(values.device)
    output = sampler(values, SHAPES, locations, weights)
    torch.autograd.grad(output, (values, locations, weights), torch.ones_like(output))
    return now(values.device) - start


def largest_difference(samplers: dict[str, Sampler], inputs: list[Tensor]) -> float:
    """Between the sums of the plain PyTorch form and those of the last one: what is fast must be right first."""
    values, locations, weights = inputs
    with torch.inference_mode():
        plain, own = (sampler(values, SHAPES, locations, weights) for sampler in list(samplers.values())[1:])
    return float((plain - own).abs().max())


def main() -> None:
    """Print the median times of the three forms and how many times as fast as the first the others are."""
    parser = argparse.ArgumentParser(description="Times of deformable attention's sampling.")
    parser.add_argument("--frames", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--heads", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--depth", type=int, default=32, help="channels per head (default: %(default)s)")
    parser.add_argument("--spread", type=float, default=2.0, help="points' distance in pixels (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the medians here, in seconds")
    options = parser.parse_args()
    device = pick_device(options.device)
    inputs = encoder_inputs(options.frames, options.heads, options.depth, options.spread, device)
    samplers = samplers_for(device)
    print(f"{options.frames} frames of 360x640, {options.heads} heads of {options.depth} channels, {device}")
    print(f"threads: {torch.get_num_threads()}; largest difference: {largest_difference(samplers, inputs):.1e}")
    facts: dict[str, dict[str, float]] = {}
    for name, measure in (("forward", forward_s), ("forward and backward", forward_and_backward_s)):
        runs = [[measure(sampler, *inputs) for sampler in samplers.values()] for _ in range(options.repeat + 1)]
        medians = [statistics.median(times) for times in zip(*runs[1:], strict=True)]
        facts[name] = dict(zip(samplers, medians, strict=True))
        for sampler_name, seconds in facts[name].items():
            print(f"{name:21} {sampler_name:27} {1e3 * seconds:9.3f} ms {medians[0] / seconds:6.1f} x")
    if options.json:
        write_atomically(options.json, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
