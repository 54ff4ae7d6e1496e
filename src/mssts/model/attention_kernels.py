"""The kernel of exact attention on CPUs with AVX-512, compiled by Numba when this module is first imported.

Softmax over all keys in one sweep, with the running maximum of Milakov and Gimelshein (2018): scores of a few queries
and some hundred keys are made, turned into shares and spent while they lie in the innermost cache. Both products are
made of tiles whose sums stay in registers. Numba has no vectors, so what goes on inside a tile is written for LLVM.

`no_type_check` keeps run-time shape checkers away from functions that become machine code.
"""

import itertools
import math
from typing import Any, no_type_check

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from mssts.model.native import kernel

if not get_host_cpu_features().get("avx512f"):
    raise ImportError("this processor has no AVX-512")

LANES = 16
"""Floats in a register."""
ROWS, WIDTH = 12, 2 * LANES
"""Queries and keys (or channels) of a tile: 24 of 32 registers hold its sums."""
BLOCK_TILES, BLOCK_ROWS = 16, 16 * ROWS
"""Tiles of keys whose scores are made before they are spent, and queries that see them while they are in the cache."""
# Scores of a query lie together; a row's length that is no power of two keeps rows out of each other's cache lines.
SCORES_ROW = BLOCK_TILES * WIDTH + LANES
LOG2_E = math.log2(math.e)
# 2 ** x on -0.5 to 0.5, to half a unit in the last place: the minimax polynomial, highest power first.
EXPONENTIAL = (0.0013400711, 0.009676188, 0.05550344, 0.24022196, 0.6931472, 1.0)
# Added to a number below 2 ** 22, it leaves the nearest whole number in the lowest bits.
ROUNDING = 1.5 * 2**23
SMALLEST_EXPONENT = -125.0
BOUND = np.float32(64)
"""Powers of two of scores up to this size, and sums of them, are neither too large nor too small for a float."""

FLOAT, INT32 = ir.FloatType(), ir.IntType(32)
VECTOR, INT_VECTOR = ir.VectorType(FLOAT, LANES), ir.VectorType(INT32, LANES)
ZERO, NOTHING = np.float32(0), np.float32(-np.inf)

QUERIES, KEYS, VALUES = "float32[:, :, :, ::1]", "float32[:, :, :, ::1]", "float32[:, :, ::1]"


def _constant(number: float) -> Any:
    return ir.Constant(VECTOR, [number] * LANES)


def _repeat(builder: Any, number: Any) -> Any:
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, cgutils.int32_t(0))
    return builder.shuffle_vector(one, one, ir.Constant(INT_VECTOR, [0] * LANES))


def _multiply_add(builder: Any, factor: Any, lanes: Any, addend: Any) -> Any:
    return builder.fadd(builder.fmul(factor, lanes, flags=("contract",)), addend, flags=("contract",))


def _data(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def _vector_at(builder: Any, pointer: Any, offset: Any = None) -> Any:
    place = pointer if offset is None else builder.gep(pointer, [offset])
    return builder.bitcast(place, VECTOR.as_pointer())


def _int64(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


def _registers(builder: Any) -> list[Any]:
    """The sums of a tile, row by row, at 0."""
    registers = [cgutils.alloca_once(builder, VECTOR) for _ in range(2 * ROWS)]
    for register in registers:
        builder.store(_constant(0.0), register)
    return registers


def _places(builder: Any, start: Any, row_stride: Any) -> list[Any]:
    """Where the vectors of a tile lie in memory, row by row."""
    offsets = [
        builder.add(builder.mul(row_stride, _int64(row)), _int64(column))
        for row, column in itertools.product(range(ROWS), (0, LANES))
    ]
    return [_vector_at(builder, start, offset) for offset in offsets]


def _copy(builder: Any, sources: list[Any], targets: list[Any]) -> None:
    for source, target in zip(sources, targets, strict=True):
        builder.store(builder.load(source, align=4), target, align=4)


def _multiply(
    builder: Any, left: Any, strides: tuple[int, int], right: Any, right_stride: Any, steps: Any, registers: list[Any]
) -> None:
    """Add left [ROWS, steps] @ right [steps, WIDTH] to a tile; the strides of left are known when this is compiled."""
    row_stride, step_stride = strides
    with cgutils.for_range(builder, steps) as loop:
        begin = builder.gep(right, [builder.mul(loop.index, right_stride)])
        columns = [builder.load(_vector_at(builder, begin, _int64(at)), align=4) for at in (0, LANES)]
        step = builder.gep(left, [builder.mul(loop.index, _int64(step_stride))])
        for row in range(ROWS):
            number = _repeat(builder, builder.load(builder.gep(step, [_int64(row * row_stride)])))
            for register, column in zip(registers[2 * row : 2 * row + 2], columns, strict=True):
                builder.store(_multiply_add(builder, number, column, builder.load(register)), register)


def _score(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Multiply ROWS queries, packed [channel, ROWS], with the keys of a tile, [channel, WIDTH]."""
    queries, queries_at, keys, keys_at, depth = arguments[:5]
    queries = _data(context, builder, signature.args[0], queries, queries_at)
    keys = _data(context, builder, signature.args[2], keys, keys_at)
    registers = _registers(builder)
    _multiply(builder, queries, (1, ROWS), keys, _int64(WIDTH), depth, registers)
    return registers


@intrinsic
@no_type_check
def _score_tile(typing, queries, queries_at, keys, keys_at, depth, scores, scores_at):
    """Write the scores of a tile; offsets are flat."""

    def _generate(context, builder, signature, arguments):
        registers = _score(context, builder, signature, arguments)
        scores = _data(context, builder, signature.args[5], *arguments[5:7])
        _copy(builder, registers, _places(builder, scores, _int64(SCORES_ROW)))
        return context.get_dummy_value()

    return types.void(queries, types.int64, keys, types.int64, types.int64, scores, types.int64), _generate


@intrinsic
@no_type_check
def _share_tile(typing, queries, queries_at, keys, keys_at, depth, shares, shares_at, sums, sums_at):
    """Write 2 ** score for a tile of bounded scores, and add them to LANES sums of each query."""

    def _generate(context, builder, signature, arguments):
        registers = _score(context, builder, signature, arguments)
        sums = _data(context, builder, signature.args[7], *arguments[7:9])
        for row in range(ROWS):
            place = _vector_at(builder, sums, _int64(row * LANES))
            total = builder.load(place, align=4)
            for register in registers[2 * row : 2 * row + 2]:
                share = _power_of_two(builder, builder.load(register))
                builder.store(share, register)
                total = builder.fadd(total, share)
            builder.store(total, place, align=4)
        shares = _data(context, builder, signature.args[5], *arguments[5:7])
        _copy(builder, registers, _places(builder, shares, _int64(SCORES_ROW)))
        return context.get_dummy_value()

    flat = queries, types.int64, keys, types.int64, types.int64, shares, types.int64, sums, types.int64
    return types.void(*flat), _generate


@intrinsic
@no_type_check
def _spend_tile(typing, shares, values, values_at, depth, count, totals, totals_at):
    """Add shares [ROWS, count] @ values [count, WIDTH of depth] to the totals of ROWS queries."""

    def _generate(context, builder, signature, arguments):
        shares, values, values_at, depth, count, totals, totals_at = arguments
        shares = _data(context, builder, signature.args[0], shares, _int64(0))
        values = _data(context, builder, signature.args[1], values, values_at)
        totals = _data(context, builder, signature.args[5], totals, totals_at)
        registers, places = _registers(builder), _places(builder, totals, depth)
        _copy(builder, places, registers)
        _multiply(builder, shares, (SCORES_ROW, 1), values, depth, count, registers)
        _copy(builder, registers, places)
        return context.get_dummy_value()

    return types.void(shares, values, types.int64, types.int64, types.int64, totals, types.int64), _generate


def _reduce(builder: Any, lanes: Any, combine: Any) -> Any:
    """Combine the lanes to one number, halves first."""
    size = LANES
    while size > 1:
        size //= 2
        halves = [ir.Constant(ir.VectorType(INT32, size), list(range(at, at + size))) for at in (0, size)]
        low, high = (builder.shuffle_vector(lanes, lanes, half) for half in halves)
        lanes = combine(builder, low, high)
    return builder.extract_element(lanes, cgutils.int32_t(0))


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@intrinsic
@no_type_check
def _largest(typing, scores, start, count):
    """The largest of some numbers from a flat offset on, a multiple of WIDTH."""

    def _generate(context, builder, signature, arguments):
        scores, start, count = arguments
        row = _data(context, builder, signature.args[0], scores, start)
        # Two at once: each would wait for its own last comparison.
        best = [cgutils.alloca_once_value(builder, _constant(-math.inf)) for _ in range(2)]
        with cgutils.for_range_slice(builder, _int64(0), count, _int64(WIDTH)) as (index, _):
            for register, at in zip(best, (0, LANES), strict=True):
                lanes = builder.load(_vector_at(builder, row, builder.add(index, _int64(at))), align=4)
                builder.store(_larger(builder, lanes, builder.load(register)), register)
        return _reduce(builder, _larger(builder, *map(builder.load, best)), _larger)

    return types.float32(scores, types.int64, types.int64), _generate


@intrinsic
@no_type_check
def _exponentiate(typing, scores, start, count, largest, sums, sums_at):
    """Put 2 ** (score - largest) in the place of each score, and add them to LANES sums; NaN stays NaN."""

    def _generate(context, builder, signature, arguments):
        scores, start, count, largest, sums, sums_at = arguments
        row = _data(context, builder, signature.args[0], scores, start)
        sums = _vector_at(builder, _data(context, builder, signature.args[4], sums, sums_at))
        total = cgutils.alloca_once_value(builder, builder.load(sums, align=4))
        largest = _repeat(builder, largest)
        with cgutils.for_range_slice(builder, _int64(0), count, _int64(WIDTH)) as (index, _):
            for at in (0, LANES):
                place = _vector_at(builder, row, builder.add(index, _int64(at)))
                score = builder.fsub(builder.load(place, align=4), largest)
                least = _constant(SMALLEST_EXPONENT)
                # The other way round NaN would become the least.
                score = builder.select(builder.fcmp_ordered("<", score, least), least, score)
                share = _power_of_two(builder, score)
                builder.store(share, place, align=4)
                builder.store(builder.fadd(builder.load(total), share), total)
        builder.store(builder.load(total), sums, align=4)
        return context.get_dummy_value()

    return types.void(scores, types.int64, types.int64, types.float32, sums, types.int64), _generate


def _power_of_two(builder: Any, x: Any) -> Any:
    """2 ** x for x from -125 to 127, or NaN."""
    shifted = builder.fadd(x, _constant(ROUNDING))
    x = builder.fsub(x, builder.fsub(shifted, _constant(ROUNDING)))
    power = _constant(EXPONENTIAL[0])
    for coefficient in EXPONENTIAL[1:]:
        power = _multiply_add(builder, power, x, _constant(coefficient))
    exponent = builder.shl(builder.bitcast(shifted, INT_VECTOR), ir.Constant(INT_VECTOR, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(power, INT_VECTOR), exponent), VECTOR)


@njit
@no_type_check
def _pack(queries, group, head, first, rows, scale, packed):
    """Bring some queries, scaled, into tiles of [channel, ROWS], missing ones as 0; return the greatest norm."""
    depth, largest = queries.shape[3], ZERO
    for row in range(-(-rows // ROWS) * ROWS):
        base, squares = row // ROWS * ROWS * depth + row % ROWS, ZERO
        for channel in range(depth):
            number = queries[group, first + row, head, channel] * scale if row < rows else ZERO
            packed[base + channel * ROWS] = number
            squares += number * number
        # Not the other way round: NaN must count as too large.
        largest = largest if squares <= largest else squares
    return np.sqrt(largest)


@njit
@no_type_check
def _hide(scores, first, last):
    """Give no share to keys that only fill up a tile."""
    for i in range(ROWS):
        for key in range(first, last):
            scores[i * SCORES_ROW + key] = NOTHING


@njit
@no_type_check
def _weigh(scores, count, row, maxima, sums, totals, depth):
    """Turn the scores of ROWS queries into shares of the largest so far, and bring what was summed to the same."""
    for i in range(ROWS):
        largest = max(maxima[row + i], _largest(scores, i * SCORES_ROW, count))
        if largest > maxima[row + i]:
            factor = np.float32(2) ** (maxima[row + i] - largest)
            maxima[row + i] = largest
            for lane in range(LANES):
                sums[(row + i) * LANES + lane] *= factor
            for channel in range(depth):
                totals[(row + i) * depth + channel] *= factor
        _exponentiate(scores, i * SCORES_ROW, count, largest, sums, (row + i) * LANES)


@kernel(QUERIES, KEYS, VALUES, "float32[::1]", QUERIES, "int64", "float32")
@no_type_check
def attend(queries, keys, values, norms, output, num_keys, scale, first, last):
    """Write the mean of the values under softmax(scale * queries @ keys), for a range of blocks of queries.

    Args:
        queries: [group, query, head, channel]; the output is alike.
        keys: [pair of group and head, tile, channel, WIDTH], of which the last tile is filled up with zeros.
        values: [pair, key, channel], filled up likewise.
        norms: The greatest norm of a pair's keys.
        output: Where to write.
        num_keys: How many there are without what was filled up.
        scale: Of the scores, times LOG2_E.
        first: The first block, of all pairs' blocks of BLOCK_ROWS queries.
        last: The block behind the last one.
    """
    _, num_queries, heads, depth = queries.shape
    tiles = keys.shape[1]
    blocks = -(-num_queries // BLOCK_ROWS)
    packed, totals = np.empty(BLOCK_ROWS * depth, np.float32), np.empty(BLOCK_ROWS * depth, np.float32)
    sums, maxima = np.empty(BLOCK_ROWS * LANES, np.float32), np.empty(BLOCK_ROWS, np.float32)
    scores = np.empty(ROWS * SCORES_ROW, np.float32)
    flat_keys, flat_values = keys.reshape(-1), values.reshape(-1)
    for index in range(first, last):
        pair, begin = index // blocks, index % blocks * BLOCK_ROWS
        group, head = pair // heads, pair % heads
        rows = min(BLOCK_ROWS, num_queries - begin)
        # By Cauchy and Schwarz no score is larger than the product of the norms.
        is_bounded = _pack(queries, group, head, begin, rows, scale, packed) * norms[pair] <= BOUND
        totals[:], sums[:] = ZERO, ZERO
        # Bounded scores need nothing taken off, so that no maximum is looked for: 0 stands for it.
        maxima[:] = ZERO if is_bounded else NOTHING
        for block in range(0, tiles, BLOCK_TILES):
            num_tiles = min(BLOCK_TILES, tiles - block)
            count, valid = num_tiles * WIDTH, num_keys - block * WIDTH
            is_quick = is_bounded and valid >= count
            for row in range(0, rows, ROWS):
                for tile in range(num_tiles):
                    query, key = row * depth, (pair * tiles + block + tile) * depth * WIDTH
                    if is_quick:
                        _share_tile(packed, query, flat_keys, key, depth, scores, tile * WIDTH, sums, row * LANES)
                    else:
                        _score_tile(packed, query, flat_keys, key, depth, scores, tile * WIDTH)
                if not is_quick:
                    _hide(scores, valid, count)
                    _weigh(scores, count, row, maxima, sums, totals, depth)
                value = (pair * tiles + block) * WIDTH * depth
                for channel in range(0, depth, WIDTH):
                    _spend_tile(scores, flat_values, value + channel, depth, count, totals, row * depth + channel)
        for row in range(rows):
            total = ZERO
            for lane in range(LANES):
                total += sums[row * LANES + lane]
            for channel in range(depth):
                output[group, begin + row, head, channel] = totals[row * depth + channel] / total
