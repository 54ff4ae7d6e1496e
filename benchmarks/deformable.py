"""Times of deformable attention's sampling on the CPU: `OMP_NUM_THREADS=1 python benchmarks/deformable.py`.

Compares, at the encoder's shapes, a grid_sample call per frame and level with all samples kept until the end (the form
that public implementations take on a CPU), the plain PyTorch form, and the Numba form. The forms take turns, so that a
busy machine slows all of them alike; the ratios are those of the medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mssts.model.deformable import sample_deformable_reference
from mssts.model.deformable_numba import sample_deformable_numba
from mssts.model.pyramid import SpatialShapes

Sampler = Callable[[Tensor, SpatialShapes, Tensor, Tensor], Tensor]
# The levels of a frame of 360x640 pixels: strides 8, 16, 32 and 64.
SHAPES = ((45, 80), (23, 40), (12, 20), (6, 10))
NUM_POINTS = 4


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


def encoder_inputs(frames: int, heads: int, depth: int, spread: float) -> list[Tensor]:
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
    return [tensor.requires_grad_() for tensor in (values, locations, weights.unflatten(-1, (len(SHAPES), NUM_POINTS)))]


def forward_s(sampler: Sampler, values: Tensor, locations: Tensor, weights: Tensor) -> float:
    """Time a call without gradients."""
    with torch.inference_mode():
        start = time.perf_counter()
        sampler(values, SHAPES, locations, weights)
        return time.perf_counter() - start


def forward_and_backward_s(sampler: Sampler, values: Tensor, locations: Tensor, weights: Tensor) -> float:
    """Time a call and the gradients of all its inputs."""
    start = time.perf_counter()
    output = sampler(values, SHAPES, locations, weights)
    torch.autograd.grad(output, (values, locations, weights), torch.ones_like(output))
    return time.perf_counter() - start


def main() -> None:
    """Print the median times of the three forms and how many times as fast as the first the others are."""
    parser = argparse.ArgumentParser(description="Times of deformable attention's sampling on the CPU.")
    parser.add_argument("--frames", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--heads", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--depth", type=int, default=32, help="channels per head (default: %(default)s)")
    parser.add_argument("--spread", type=float, default=2.0, help="points' distance in pixels (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="(default: %(default)s)")
    options = parser.parse_args()
    inputs = encoder_inputs(options.frames, options.heads, options.depth, options.spread)
    samplers = {
        "grid_sample frame by frame": sample_frame_by_frame,
        "plain PyTorch form": sample_deformable_reference,
        "Numba form": sample_deformable_numba,
    }
    print(f"{options.frames} frames of 360x640, {options.heads} heads of {options.depth} channels")
    print(f"threads: {torch.get_num_threads()}")
    for name, measure in (("forward", forward_s), ("forward and backward", forward_and_backward_s)):
        runs = [[measure(sampler, *inputs) for sampler in samplers.values()] for _ in range(options.repeat + 1)]
        medians = [statistics.median(times) for times in zip(*runs[1:], strict=True)]
        for sampler_name, seconds in zip(samplers, medians, strict=True):
            print(f"{name:21} {sampler_name:27} {seconds:7.3f} s {medians[0] / seconds:6.1f} x")


if __name__ == "__main__":
    main()
