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

from mssts.model.native import MAX_POINTS, kernel

# Channels that one instruction handles; LLVM splits them where the machine's registers are narrower.
LANES = 8
# Where the rows of its table begin, of MAX_POINTS numbers each: what is known of each point's map, then the tokens at
# the corners of the points and their shares. Without a sign, an index cannot count from the end, which LLVM would have
# to ask before it makes vectors of a loop.
WIDTHS, HEIGHTS, STARTS, TOKENS, SHARES = (np.uint64(row * MAX_POINTS) for row in (0, 1, 2, 3, 7))
ROW, TABLE_SIZE, INDEX_1, INDEX_2 = np.uint64(MAX_POINTS), 11 * MAX_POINTS, np.uint64(1), np.uint64(2)
# What a head needs of a query lies far from what it needs of the next one, so no processor foresees it.
QUERIES_AHEAD, FLOATS_OF_A_LINE = 8, 16
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


@intrinsic
@no_type_check
def _fetch(typing: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line at a flat offset, which may lie behind the end."""

    def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, offset = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.bitcast(builder.gep(data, [offset]), cgutils.voidptr_t)
        numbers = [cgutils.int32_t] * 3
        declared = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *numbers])
        prefetch = cgutils.get_or_insert_function(builder.module, declared, "llvm.prefetch.p0")
        # For reading, into every cache, of data.
        builder.call(prefetch, [place, *(cgutils.int32_t(x) for x in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, offset), _generate


@njit(fastmath=FAST_MATH)
@no_type_check
def _fetch_numbers(array, start, count):
    for offset in range(start, start + count, FLOATS_OF_A_LINE):
        _fetch(array, offset)


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
def _list_corners(table, places, weights, first, count):
    """Write into the table the tokens at the corners of a query's points, and the corners' shares in its sum.

    There are no branches, no order between points and one array to write to, so that LLVM makes vectors of it.
    """
    for i in range(count):
        width, height, start = table[WIDTHS + i], table[HEIGHTS + i], table[STARTS + i]
        x = places[INDEX_2 * (first + i)] * width - HALF
        y = places[INDEX_2 * (first + i) + INDEX_1] * height - HALF
        # 0, or NaN where a number is not finite, which must show in the output.
        weight = weights[first + i] + ((x - x) + (y - y))
        # Far positions, NaN too, become ones just outside.
        x, y = min(x if x > -TWO else -TWO, width), min(y if y > -TWO else -TWO, height)
        left, top = np.floor(x), np.floor(y)
        right_share, bottom_share = x - left, y - top
        left_share, top_share = ONE - right_share, ONE - bottom_share
        right, bottom = left + ONE, top + ONE
        left_share = left_share if (left >= ZERO) & (left < width) else ZERO
        right_share = right_share if (right >= ZERO) & (right < width) else ZERO
        top_share = weight * (top_share if (top >= ZERO) & (top < height) else ZERO)
        bottom_share = weight * (bottom_share if (bottom >= ZERO) & (bottom < height) else ZERO)
        # The nearest pixel inside stands for one outside. Tokens are whole numbers that a float holds exactly.
        left, right = min(max(left, ZERO), width - ONE), min(max(right, ZERO), width - ONE)
        above = start + min(max(top, ZERO), height - ONE) * width
        below = start + min(max(bottom, ZERO), height - ONE) * width
        token, share = TOKENS + i, SHARES + i
        table[token], table[token + ROW] = above + left, above + right
        table[token + ROW + ROW], table[token + ROW + ROW + ROW] = below + left, below + right
        table[share], table[share + ROW] = top_share * left_share, top_share * right_share
        table[share + ROW + ROW] = bottom_share * left_share
        table[share + ROW + ROW + ROW] = bottom_share * right_share


@njit(fastmath=FAST_MATH)
@no_type_check
def _sum_corners(table, values, base, depth, count, output, place):
    """Sum 4 * LANES channels of a query's corners, from one flat offset on, and store them from another on."""
    # Four sums at once: each would wait for its own last addition.
    sum_0, sum_1, sum_2, sum_3 = _repeat(ZERO), _repeat(ZERO), _repeat(ZERO), _repeat(ZERO)
    for corner in range(4):
        row = np.uint64(corner) * ROW
        for i in range(row, row + count):
            share, token = _repeat(table[SHARES + i]), base + np.int64(table[TOKENS + i]) * depth
            sum_0 = _multiply_add(share, _load(values, token), sum_0)
            sum_1 = _multiply_add(share, _load(values, token + LANES), sum_1)
            sum_2 = _multiply_add(share, _load(values, token + 2 * LANES), sum_2)
            sum_3 = _multiply_add(share, _load(values, token + 3 * LANES), sum_3)
    _store(output, place, sum_0)
    _store(output, place + LANES, sum_1)
    _store(output, place + 2 * LANES, sum_2)
    _store(output, place + 3 * LANES, sum_3)


@njit(fastmath=FAST_MATH)
@no_type_check
def _sum_few_channels(table, values, base, depth, count, output, place):
    """Sum and store LANES channels."""
    total = _repeat(ZERO)
    for corner in range(4):
        row = np.uint64(corner) * ROW
        for i in range(row, row + count):
            token = base + np.int64(table[TOKENS + i]) * depth
            total = _multiply_add(_repeat(table[SHARES + i]), _load(values, token), total)
    _store(output, place, total)


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
    count = np.uint64(levels * points)
    places, flat_weights = locations.reshape(-1), weights.reshape(-1)
    table = np.empty(TABLE_SIZE, np.float32)
    for i in range(count):
        height, width, start = shapes[i // np.uint64(points)]
        table[WIDTHS + i], table[HEIGHTS + i], table[STARTS + i] = width, height, start
    for pair in range(first, last):
        frame, head = pair // heads, pair % heads
        for query in range(queries):
            row = (frame * queries + query) * heads + head
            ahead = (row + QUERIES_AHEAD * heads) * levels * points
            _fetch_numbers(places, 2 * ahead, 2 * levels * points)
            _fetch_numbers(flat_weights, ahead, levels * points)
            _list_corners(table, places, flat_weights, np.uint64(row) * count, count)
            base = pair * tokens * depth
            most = depth // (4 * LANES) * (4 * LANES)
            for channel in range(0, most, 4 * LANES):
                _sum_corners(table, values, base + channel, depth, count, output, row * depth + channel)
            for channel in range(most, depth, LANES):
                _sum_few_channels(table, values, base + channel, depth, count, output, row * depth + channel)


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
    count = levels * points
    places, flat_weights = locations.reshape(-1), weights.reshape(-1)
    for pair in range(first, last):
        frame, head = pair // heads, pair % heads
        for query in range(queries):
            row = (frame * queries + query) * heads + head
            ahead, from_query = row + QUERIES_AHEAD * heads, row * depth
            _fetch_numbers(places, 2 * ahead * count, 2 * count)
            _fetch_numbers(flat_weights, ahead * count, count)
            _fetch_numbers(grad_output, ahead * depth, depth)
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
