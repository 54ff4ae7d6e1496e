"""The CUDA form of multi-scale deformable attention: the sums of the plain PyTorch form in one Triton kernel each way.

A program takes a block of queries of one frame and head and reads the channels of each corner side by side. Sums are
float32 whatever comes in. In the backward pass several queries add to one value, in any order: gradients of values
may differ in the last bits from run to run.

`no_type_check` keeps run-time shape checkers away from functions that become machine code.
"""

# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mssts.model.native import GPU_TYPES, require_fitting_shapes
from mssts.model.pyramid import SpatialShapes

BLOCK_QUERIES = 32
"""Queries of a program."""


@triton.jit
@no_type_check
def _axis(position, size):
    """Give the pixel before a position on an axis, the share of the next one, and whether each lies on the map."""
    # Far positions become ones just outside, which fit an integer.
    position = tl.minimum(tl.maximum(position, -2.0), size + 1.0)
    lower = tl.floor(position)
    near = lower.to(tl.int32)
    return near, position - lower, (near >= 0) & (near < size), (near >= -1) & (near + 1 < size)


@triton.jit
@no_type_check
def _point(locations, weights, at, is_query, height, width):
    """Read a point of each query: x and y in pixels, its weight, and 0, or NaN where the point is not finite."""
    x = tl.load(locations + 2 * at, mask=is_query, other=0.0).to(tl.float32) * width - 0.5
    y = tl.load(locations + 2 * at + 1, mask=is_query, other=0.0).to(tl.float32) * height - 0.5
    weight = tl.load(weights + at, mask=is_query, other=0.0).to(tl.float32)
    return x, y, weight, (x - x) + (y - y)


@triton.jit
@no_type_check
def _corner(values, token, stride, is_there, channel, is_channel):
    """Read the channels of one corner of each query's point, 0 outside the map."""
    places = (token.to(tl.int64) * stride)[:, None] + channel[None, :]
    return tl.load(values + places, mask=is_there[:, None] & is_channel[None, :], other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def _add(grad_values, token, stride, is_there, channel, is_channel, grad):
    places = (token.to(tl.int64) * stride)[:, None] + channel[None, :]
    # Relaxed: nothing is read before the kernel ends, and the default fences each addition and empties the cache.
    tl.atomic_add(grad_values + places, grad, mask=is_there[:, None] & is_channel[None, :], sem="relaxed")


@triton.jit
@no_type_check
def _visit(values, grad_values, token, stride, is_there, share, channel, is_channel, grad, weighted):
    """Give the product of the gradient and a corner's values, and the corner its share of the weighted gradient."""
    dot = tl.sum(grad * _corner(values, token, stride, is_there, channel, is_channel), axis=1)
    _add(grad_values, token, stride, is_there, channel, is_channel, share[:, None] * weighted)
    return dot


@triton.jit
@no_type_check
def _rows(queries, heads, block_queries: tl.constexpr):
    """The frame and head of this program, and the rows of its queries in [frame, query, head]."""
    blocks = tl.cdiv(queries, block_queries)
    pair = (tl.program_id(0) // blocks).to(tl.int64)
    query = (tl.program_id(0) % blocks) * block_queries + tl.arange(0, block_queries)
    return pair // heads, pair % heads, (pair // heads * queries + query) * heads + pair % heads, query < queries


@triton.jit
@no_type_check
def _forward(
    values,
    shapes,
    locations,
    weights,
    output,
    queries,
    heads,
    tokens,
    depth,
    levels: tl.constexpr,
    points: tl.constexpr,
    block_queries: tl.constexpr,
    block_depth: tl.constexpr,
):
    """Sum the corners' values per query; tensors are contiguous, shapes are rows (height, width, first token)."""
    frame, head, row, is_query = _rows(queries, heads, block_queries)
    channel = tl.arange(0, block_depth)
    is_channel = channel < depth
    stride = heads * depth
    values += frame * tokens * stride + head * depth
    total = tl.zeros((block_queries, block_depth), tl.float32)
    for level in range(levels):  # not unrolled: all points of all levels at once take a minute to compile
        height, width = tl.load(shapes + 3 * level), tl.load(shapes + 3 * level + 1)
        start = tl.load(shapes + 3 * level + 2)
        for point in tl.static_range(points):
            at = (row * levels + level) * points + point
            x, y, weight, nan_or_zero = _point(locations, weights, at, is_query, height, width)
            left, right_share, is_left, is_right = _axis(x, width)
            top, bottom_share, is_top, is_bottom = _axis(y, height)
            token = start + top * width + left
            above, below = (weight + nan_or_zero) * (1 - bottom_share), (weight + nan_or_zero) * bottom_share
            corner = _corner(values, token, stride, is_query & is_top & is_left, channel, is_channel)
            total += (above * (1 - right_share))[:, None] * corner
            corner = _corner(values, token + 1, stride, is_query & is_top & is_right, channel, is_channel)
            total += (above * right_share)[:, None] * corner
            corner = _corner(values, token + width, stride, is_query & is_bottom & is_left, channel, is_channel)
            total += (below * (1 - right_share))[:, None] * corner
            corner = _corner(values, token + width + 1, stride, is_query & is_bottom & is_right, channel, is_channel)
            total += (below * right_share)[:, None] * corner
    mask = is_query[:, None] & is_channel[None, :]
    tl.store(output + (row * depth)[:, None] + channel[None, :], total.to(output.dtype.element_ty), mask=mask)


@triton.jit
@no_type_check
def _backward(
    values,
    shapes,
    locations,
    weights,
    grad_output,
    grad_values,
    grad_locations,
    grad_weights,
    queries,
    heads,
    tokens,
    depth,
    levels: tl.constexpr,
    points: tl.constexpr,
    block_queries: tl.constexpr,
    block_depth: tl.constexpr,
):
    """Add to the gradient of the values, set those of locations and weights; layouts are those of `_forward`."""
    frame, head, row, is_query = _rows(queries, heads, block_queries)
    channel = tl.arange(0, block_depth)
    is_channel = channel < depth
    stride = heads * depth
    values += frame * tokens * stride + head * depth
    grad_values += frame * tokens * stride + head * depth
    mask = is_query[:, None] & is_channel[None, :]
    grad = tl.load(grad_output + (row * depth)[:, None] + channel[None, :], mask=mask, other=0.0).to(tl.float32)
    for level in range(levels):  # not unrolled: all points of all levels at once take a minute to compile
        height, width = tl.load(shapes + 3 * level), tl.load(shapes + 3 * level + 1)
        start = tl.load(shapes + 3 * level + 2)
        for point in tl.static_range(points):
            at = (row * levels + level) * points + point
            x, y, weight, nan_or_zero = _point(locations, weights, at, is_query, height, width)
            left, right_share, is_left, is_right = _axis(x, width)
            top, bottom_share, is_top, is_bottom = _axis(y, height)
            left_share, top_share = 1 - right_share, 1 - bottom_share
            token = start + top * width + left
            weighted = weight[:, None] * grad
            # What the gradient finds at each corner, and what each corner gets of it.
            there, share = is_query & is_top & is_left, top_share * left_share
            dot_0 = _visit(values, grad_values, token, stride, there, share, channel, is_channel, grad, weighted)
            there, share = is_query & is_top & is_right, top_share * right_share
            dot_1 = _visit(values, grad_values, token + 1, stride, there, share, channel, is_channel, grad, weighted)
            there, share, token = is_query & is_bottom & is_left, bottom_share * left_share, token + width
            dot_2 = _visit(values, grad_values, token, stride, there, share, channel, is_channel, grad, weighted)
            there, share = is_query & is_bottom & is_right, bottom_share * right_share
            dot_3 = _visit(values, grad_values, token + 1, stride, there, share, channel, is_channel, grad, weighted)
            above, below = left_share * dot_0 + right_share * dot_1, left_share * dot_2 + right_share * dot_3
            grad_weight = top_share * above + bottom_share * below + nan_or_zero
            grad_y = (below - above) * weight * height + nan_or_zero
            grad_x = (top_share * (dot_1 - dot_0) + bottom_share * (dot_3 - dot_2)) * weight * width + nan_or_zero
            tl.store(grad_weights + at, grad_weight.to(grad_weights.dtype.element_ty), mask=is_query)
            tl.store(grad_locations + 2 * at, grad_x.to(grad_locations.dtype.element_ty), mask=is_query)
            tl.store(grad_locations + 2 * at + 1, grad_y.to(grad_locations.dtype.element_ty), mask=is_query)


class _SampleDeformable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of sampled values, as `sample_deformable_reference` has them."""
        inputs = values.contiguous(), shapes, locations.contiguous(), weights.contiguous()
        output = values.new_empty(*locations.shape[:3], values.shape[-1])
        _launch(_forward, inputs, output)
        ctx.save_for_backward(*inputs)
        return output.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_output: Tensor
    ) -> tuple[Tensor | None, ...]:
        """The gradients of values, locations and weights."""
        # Read once: under gradient checkpointing, reading makes the tensors anew and may be done only once.
        saved = ctx.saved_tensors
        values, _, locations, weights = saved
        # In float32, for hundreds of queries may add to one value.
        grad_values = torch.zeros_like(values, dtype=torch.float32)
        grads = torch.empty_like(locations), torch.empty_like(weights)
        _launch(_backward, saved, grad_output.contiguous(), grad_values, *grads)
        return grad_values.to(values.dtype), None, *grads


def _launch(kernel: Any, inputs: tuple[Tensor, ...], *others: Tensor) -> None:
    values, _, locations, _ = inputs
    frames, tokens, heads, depth = values.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    num_programs = frames * heads * triton.cdiv(queries, BLOCK_QUERIES)
    if num_programs:
        blocks = {"block_queries": BLOCK_QUERIES, "block_depth": triton.next_power_of_2(depth)}
        # Triton starts kernels on the current GPU, which need not be the tensors'.
        with torch.cuda.device_of(values):
            kernel[num_programs,](
                *inputs, *others, queries, heads, tokens, depth, levels=levels, points=points, **blocks, num_warps=4
            )


def sample_deformable_triton(
    values: Float[Tensor, "M S heads d"],
    spatial_shapes: SpatialShapes,
    locations: Float[Tensor, "M Q heads L P 2"],
    weights: Float[Tensor, "M Q heads L P"],
) -> Float[Tensor, "M Q heads*d"]:
    """Sum bilinear samples of the values, weighted; zeros outside the map. The output has the values' type.

    Points that are NaN or infinite give NaN; far points give 0. It can be differentiated once.

    Args:
        values: Tokens of all levels of M frames, split into heads.
        spatial_shapes: Height and width of each level.
        locations: Sampling points (x, y) in 0..1 of the padded map.
        weights: Attention weights.

    Raises:
        ValueError: The shapes do not fit together, or a tensor has more than 32 bits.
    """
    require_fitting_shapes(values, spatial_shapes, locations, weights)
    if any(tensor.dtype not in GPU_TYPES for tensor in (values, locations, weights)):
        raise ValueError("the Triton form takes float32, bfloat16 or float16")
    return _SampleDeformable.apply(values, _with_starts(spatial_shapes, values.device), locations, weights)


def _with_starts(spatial_shapes: SpatialShapes, device: torch.device) -> Tensor:
    rows, start = [], 0
    for height, width in spatial_shapes:
        rows.append((height, width, start))
        start += height * width
    return torch.tensor(rows, dtype=torch.int32).to(device, non_blocking=True)
