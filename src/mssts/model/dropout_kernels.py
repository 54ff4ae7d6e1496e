"""The kernels of dropout on the CPU, compiled by Numba when this module is first imported.

Whether a number stays is a hash of its place and of a seed, so the backward pass finds out again instead of keeping it.
"""

from typing import Any, no_type_check

import numpy as np
from numba import njit

from mssts.model.native import kernel

ZERO = np.float32(0)
U32 = np.uint32
ARRAY = "float32[::1]"
NUMBERS = "uint32, uint32, uint32, float32"


@njit(inline="always")
@no_type_check
def _hash(index: Any, seed: Any, second_seed: Any) -> Any:
    """Scramble an index into 32 bits; every cast keeps the arithmetic in 32 bits, which LLVM then does 8 at a time."""
    # "lowbias32" of C. Wellons between two multiplications that bring in the seeds.
    bits = U32(U32(index ^ seed) * U32(0x9E3779B9))
    bits = U32(U32(bits ^ (bits >> U32(16))) * U32(0x7FEB352D))
    bits = U32(U32(bits ^ (bits >> U32(15))) * U32(0x846CA68B))
    bits = U32(U32(U32(bits ^ (bits >> U32(16))) + second_seed) * U32(0x9E3779B9))
    return U32(bits ^ (bits >> U32(15)))


@kernel(ARRAY, ARRAY, NUMBERS)
@no_type_check
def drop(values, output, seed, second_seed, threshold, scale, first, last):
    """Set the output to the values times `scale`, and to 0 where the hash is below the threshold."""
    for i in range(first, last):
        stays = _hash(U32(i), seed, second_seed) >= threshold
        output[i] = values[i] * scale if stays else ZERO


@kernel(ARRAY, ARRAY, NUMBERS)
@no_type_check
def relu_drop(values, output, seed, second_seed, threshold, scale, first, last):
    """ReLU, then `drop`; NaN stays NaN."""
    for i in range(first, last):
        stays = _hash(U32(i), seed, second_seed) >= threshold
        value = values[i]
        active = ZERO if value < ZERO else value * scale
        output[i] = active if stays else ZERO


@kernel(ARRAY, ARRAY, ARRAY, "float32")
@no_type_check
def relu_drop_backward(output, grad_output, grad, scale, first, last):
    """Set the gradient of `relu_drop`: that of the output times `scale` where the output is not 0."""
    for i in range(first, last):
        grad[i] = ZERO if output[i] == ZERO else grad_output[i] * scale
