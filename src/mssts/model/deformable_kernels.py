"""The kernels of the CPU form of deformable attention, compiled by Numba when this module is first imported.

The compiled code is kept beside this file or in the user's cache folder, so only the first run on a machine waits.
A kernel takes a range of (frame, head) pairs. No two pairs write the same number and the order of every sum is fixed.

`no_type_check` keeps run-time shape checkers away from functions that become machine code.
"""

from typing import Any, no_type_check

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from mssts.model.native import kernel

# Channels that one instruction handles; LLVM splits them where the machine's registers are narrower.
LANES = 8
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
# No other relaxation: NaN and infinity must come out as such.
FAST_MATH = {"contract", "nsz"}

VALUES, SHAPES = "float32[:, :, ::1]", "int64[:, ::1]"
LOCATIONS, WEIGHTS = "float32[:, :, :, :, :, ::1]", "float32[:, :, :, :, ::1]"
SAMPLES = "float32[:, :, :, ::1]"


class _LanesType(types.Type):
    """LANES floats in a register. Numba has no such type, and LLVM does not find these vectors by itself."""

    def __init__(self) -> None:
        super().__init__(name="mssts_lanes")


VECTOR = ir.VectorType(ir.FloatType(), LANES)
_lanes = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, VECTOR)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), VECTOR.as_pointer())


@intrinsic
@no_type_check
def _load(typing: Any, array: Any, offset: Any) -> Any:
    """Read LANES floats from a flat offset on, without a bounds check."""

    def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4)

    return _lanes(array, types.int64), _generate


@intrinsic
@no_type_check
def _store(typing: Any, array: Any, offset: Any, lanes: Any) -> Any:
    """Write LANES floats from a flat offset on, without a bounds check."""

    def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature.args[0], *arguments[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), _generate


@intrinsic
@no_type_check
def _repeat(typing: Any, number: Any) -> Any:
    def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[0], cgutils.int32_t(0))
        return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(cgutils.int32_t, LANES), [0] * LANES))

    return _lanes(types.float32), _generate


@intrinsic
@no_type_check
def _multiply_add(typing: Any, factor: Any, lanes: Any, addend: Any) -> Any:
    """Compute factor * lanes + addend, in one instruction where the machine has it."""

    def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factor, lanes, addend = arguments
        return builder.fadd(builder.fmul(factor, lanes, flags=("contract",)), addend, flags=("contract",))

    return _lanes(factor, lanes, addend), _generate


@intrinsic
@no_type_check
def _sum(typing: Any, lanes: Any) -> Any:
    """Add the lanes up, halves first."""

    def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, size = arguments[0], LANES
        while size > 1:
            size //= 2
            low, high = (ir.Constant(ir.VectorType(cgutils.int32_t, size), list(range(i, i + size))) for i in (0, size))
            lanes = builder.fadd(builder.shuffle_vector(lanes, lanes, low), builder.shuffle_vector(lanes, lanes, high))
        return builder.extract_element(lanes, cgutils.int32_t(0))

    return types.float32(lanes), _generate


@njit(fastmath=FAST_MATH)
@no_type_check
def _axis(position, size):
    """Give the two pixels around a position on an axis, their shares and their slopes.

    A pixel outside counts as 0: it is replaced by the nearest one inside, with share and slope 0. There are no
    branches, which a processor could not foresee.
    """
    # Far positions, NaN too, become ones just outside, which fit an integer.
    position = min(position if position > -TWO else -TWO, np.float32(size))
    lower = np.floor(position)
    share, near = position - lower, np.int64(lower)
    far = near + 1
    near_slope, far_slope = np.float32((near >= 0) & (near < size)), np.float32((far >= 0) & (far < size))
    near_share, far_share = (ONE - share) * near_slope, share * far_slope
    return min(max(near, 0), size - 1), min(max(far, 0), size - 1), near_share, far_share, -near_slope, far_slope


@njit(fastmath=FAST_MATH)
@no_type_check
def _is_near(x, y, height, width):
    """Tell whether a pixel of the map has a share in the point; False for NaN."""
    return (x >= -ONE) & (y >= -ONE) & (x < np.float32(width)) & (y < np.float32(height))


@njit(fastmath=FAST_MATH)
@no_type_check
def _list_corners(shapes, locations, weights, frame, query, head, depth, offsets, shares):
    """Write down where the values of a query's corners start and their shares in its sum; returns their number."""
    count = np.uint64(0)
    for level in range(shapes.shape[0]):
        height, width, start = shapes[level, 0], shapes[level, 1], shapes[level, 2]
        for point in range(weights.shape[4]):
            x = locations[frame, query, head, level, point, 0] * np.float32(width) - HALF
            y = locations[frame, query, head, level, point, 1] * np.float32(height) - HALF
            left, right, left_share, right_share, _, _ = _axis(x, width)
            top, bottom, top_share, bottom_share, _, _ = _axis(y, height)
            # 0, or NaN where a number is not finite, which must show in the output.
            fault = (x - x) + (y - y)
            weight = weights[frame, query, head, level, point] + fault
            top, bottom = start + top * width, start + bottom * width
            top_share, bottom_share = top_share * weight, bottom_share * weight
            offsets[count, 0] = (top + left) * depth
            offsets[count, 1] = (top + right) * depth
            offsets[count, 2] = (bottom + left) * depth
            offsets[count, 3] = (bottom + right) * depth
            shares[count, 0] = top_share * left_share
            shares[count, 1] = top_share * right_share
            shares[count, 2] = bottom_share * left_share
            shares[count, 3] = bottom_share * right_share
            # The next point overwrites one that is outside.
            count += np.uint64(_is_near(x, y, height, width) | (weight * ZERO != ZERO))
    return count


@kernel(VALUES, SHAPES, LOCATIONS, WEIGHTS, SAMPLES, fastmath=FAST_MATH)
@no_type_check
def forward(values, shapes, locations, weights, output, first, last):
    """Sum the corners' values per query, a multiple of LANES channels.

    Values are [pair, token, channel], so that what one pair reads lies together; a query's numbers of one head do so
    as they come: locations and weights are [frame, query, head, ...], output is [frame, query, head, channel]. Shapes
    are rows (height, width, first token), one per level.
    """
    _, tokens, depth = values.shape
    _, queries, heads, levels, points = weights.shape
    offsets = np.empty((levels * points + 1, 4), np.int64)
    shares = np.empty((levels * points + 1, 4), np.float32)
    for pair in range(first, last):
        frame, head = pair // heads, pair % heads
        for query in range(queries):
            count = _list_corners(shapes, locations, weights, frame, query, head, depth, offsets, shares)
            for channel in range(0, depth, LANES):
                start = pair * tokens * depth + channel
                # One sum per corner: each would wait for its own last addition.
                sum_0, sum_1, sum_2, sum_3 = _repeat(ZERO), _repeat(ZERO), _repeat(ZERO), _repeat(ZERO)
                for i in range(count):
                    sum_0 = _multiply_add(_repeat(shares[i, 0]), _load(values, start + offsets[i, 0]), sum_0)
                    sum_1 = _multiply_add(_repeat(shares[i, 1]), _load(values, start + offsets[i, 1]), sum_1)
                    sum_2 = _multiply_add(_repeat(shares[i, 2]), _load(values, start + offsets[i, 2]), sum_2)
                    sum_3 = _multiply_add(_repeat(shares[i, 3]), _load(values, start + offsets[i, 3]), sum_3)
                sum_0 = _multiply_add(_repeat(ONE), sum_0, sum_1)
                sum_2 = _multiply_add(_repeat(ONE), sum_2, sum_3)
                place = ((frame * queries + query) * heads + head) * depth + channel
                _store(output, place, _multiply_add(_repeat(ONE), sum_0, sum_2))


@njit(fastmath=FAST_MATH)
@no_type_check
def _add(array, offset, factor, lanes):
    _store(array, offset, _multiply_add(_repeat(factor), lanes, _load(array, offset)))


@njit(fastmath=FAST_MATH)
@no_type_check
def _blend(share, lanes, other_share, other_lanes):
    return _multiply_add(_repeat(share), lanes, _multiply_add(_repeat(other_share), other_lanes, _repeat(ZERO)))


@kernel(VALUES, SHAPES, LOCATIONS, WEIGHTS, SAMPLES, VALUES, LOCATIONS, WEIGHTS, fastmath=FAST_MATH)
@no_type_check
def backward(values, shapes, locations, weights, grad_output, grad_values, grad_locations, grad_weights, first, last):
    """Add to the gradient of the values, set those of locations and weights. Layouts are those of `forward`."""
    _, tokens, depth = values.shape
    _, queries, heads, levels, points = weights.shape
    for pair in range(first, last):
        frame, head = pair // heads, pair % heads
        for query in range(queries):
            from_query = ((frame * queries + query) * heads + head) * depth
            for level in range(levels):
                height, width, start = shapes[level, 0], shapes[level, 1], shapes[level, 2]
                for point in range(points):
                    x = locations[frame, query, head, level, point, 0] * np.float32(width) - HALF
                    y = locations[frame, query, head, level, point, 1] * np.float32(height) - HALF
                    weight = weights[frame, query, head, level, point]
                    if not _is_near(x, y, height, width):
                        nan_or_zero = (x - x) + (y - y)
                        grad_weights[frame, query, head, level, point] = nan_or_zero
                        grad_locations[frame, query, head, level, point, 0] = nan_or_zero
                        grad_locations[frame, query, head, level, point, 1] = nan_or_zero
                        continue
                    left, right, left_share, right_share, left_slope, right_slope = _axis(x, width)
                    top, bottom, top_share, bottom_share, top_slope, bottom_slope = _axis(y, height)
                    top = pair * tokens + start + top * width
                    bottom = pair * tokens + start + bottom * width
                    place_0, place_1 = (top + left) * depth, (top + right) * depth
                    place_2, place_3 = (bottom + left) * depth, (bottom + right) * depth
                    dot_0, dot_1, dot_2, dot_3 = _repeat(ZERO), _repeat(ZERO), _repeat(ZERO), _repeat(ZERO)
                    for i in range(0, depth, LANES):
                        grad = _load(grad_output, from_query + i)
                        dot_0 = _multiply_add(grad, _load(values, place_0 + i), dot_0)
                        dot_1 = _multiply_add(grad, _load(values, place_1 + i), dot_1)
                        dot_2 = _multiply_add(grad, _load(values, place_2 + i), dot_2)
                        dot_3 = _multiply_add(grad, _load(values, place_3 + i), dot_3)
                        _add(grad_values, place_0 + i, weight * top_share * left_share, grad)
                        _add(grad_values, place_1 + i, weight * top_share * right_share, grad)
                        _add(grad_values, place_2 + i, weight * bottom_share * left_share, grad)
                        _add(grad_values, place_3 + i, weight * bottom_share * right_share, grad)
                    above = _blend(left_share, dot_0, right_share, dot_1)
                    below = _blend(left_share, dot_2, right_share, dot_3)
                    grad_weights[frame, query, head, level, point] = _sum(_blend(top_share, above, bottom_share, below))
                    grad_y = _sum(_blend(top_slope, above, bottom_slope, below))
                    above = _blend(left_slope, dot_0, right_slope, dot_1)
                    below = _blend(left_slope, dot_2, right_slope, dot_3)
                    grad_x = _sum(_blend(top_share, above, bottom_share, below))
                    grad_locations[frame, query, head, level, point, 0] = grad_x * weight * np.float32(width)
                    grad_locations[frame, query, head, level, point, 1] = grad_y * weight * np.float32(height)
