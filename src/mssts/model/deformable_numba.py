"""The CPU form of multi-scale deformable attention: the sums of the plain PyTorch form, several times as fast.

A thread takes a range of (frame, head) pairs; no two threads write the same number and the order of every sum is fixed,
so the results are the same bits for any number of threads.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mssts.model import deformable_kernels
from mssts.model.native import MAX_POINTS, MAX_TOKENS, require_fitting_shapes, run_in_threads
from mssts.model.pyramid import SpatialShapes

PARTS = 4
"""Of a thread's share of (frame, head) pairs, so that cores finish together."""


class _SampleDeformable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of sampled values, as `sample_deformable_reference` has them."""
        ctx.split, ctx.depth = (len(values), values.shape[2]), values.shape[-1]
        pairs = _by_head(_padded(values))
        inputs = pairs, _with_starts(spatial_shapes), locations.contiguous(), weights.contiguous()
        output = values.new_empty(*locations.shape[:3], pairs.shape[-1])
        _run(deformable_kernels.forward, len(pairs), *inputs, output)
        ctx.save_for_backward(*inputs)
        return output[..., : ctx.depth].flatten(2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_output: Tensor
    ) -> tuple[Tensor | None, ...]:
        """The gradients of values, locations and weights."""
        # Read once: under gradient checkpointing, reading makes the tensors anew and may be done only once.
        saved = ctx.saved_tensors
        values, _, locations, weights = saved
        grad_output = _padded(grad_output.unflatten(-1, (ctx.split[1], ctx.depth))).contiguous()
        grads = torch.zeros_like(values), torch.empty_like(locations), torch.empty_like(weights)
        _run(deformable_kernels.backward, len(values), *saved, grad_output, *grads)
        grad_values = grads[0].unflatten(0, ctx.split).transpose(1, 2)
        return grad_values[..., : ctx.depth], None, *grads[1:]


def _by_head(values: Tensor) -> Tensor:
    """Bring [frame, token, head, channel] into the order of the kernels, [pair, token, channel]."""
    return values.transpose(1, 2).flatten(0, 1).contiguous()


def _padded(tensor: Tensor) -> Tensor:
    missing = -tensor.shape[-1] % deformable_kernels.LANES
    return F.pad(tensor, (0, missing)) if missing else tensor


def _with_starts(spatial_shapes: SpatialShapes) -> Tensor:
    starts = np.cumsum([0, *(height * width for height, width in spatial_shapes)])
    return torch.tensor([(*shape, start) for shape, start in zip(spatial_shapes, starts[:-1], strict=True)])


def _run(kernel: Callable[..., None], num_pairs: int, *tensors: Tensor) -> None:
    run_in_threads(kernel, num_pairs, *(tensor.detach().numpy() for tensor in tensors), parts=PARTS)


def sample_deformable_numba(
    values: Float[Tensor, "M S heads d"],
    spatial_shapes: SpatialShapes,
    locations: Float[Tensor, "M Q heads L P 2"],
    weights: Float[Tensor, "M Q heads L P"],
) -> Float[Tensor, "M Q heads*d"]:
    """Sum bilinear samples of the values, weighted; zeros outside the map. All tensors are float32 on the CPU.

    Points that are NaN or infinite give NaN; far points give 0. It can be differentiated once.

    Args:
        values: Tokens of all levels of M frames, split into heads.
        spatial_shapes: Height and width of each level.
        locations: Sampling points (x, y) in 0..1 of the padded map.
        weights: Attention weights.

    Raises:
        ValueError: The shapes do not fit together, there are more points or tokens than the kernels can take, or a
            tensor is not float32 on the CPU.
    """
    require_fitting_shapes(values, spatial_shapes, locations, weights)
    num_tokens, num_points = values.shape[1], weights.shape[-1]
    if len(spatial_shapes) * num_points > MAX_POINTS or num_tokens > MAX_TOKENS:
        raise ValueError(f"{len(spatial_shapes)} x {num_points} points or {num_tokens} tokens are too many")
    if any(tensor.dtype != torch.float32 or tensor.device.type != "cpu" for tensor in (values, locations, weights)):
        raise ValueError("the Numba form takes float32 tensors on the CPU")
    return _SampleDeformable.apply(values, spatial_shapes, locations, weights)
