"""Work on long sequences piece by piece, so that what is made in between stays in a processor's cache."""

from collections.abc import Callable

import torch
from torch import Tensor

from mssts.model.native import is_transformed

CHUNK = 3072
"""Tokens of a chunk; the best of 512 to 8,192 on two kinds of processors."""


def in_chunks(
    function: Callable[..., Tensor],
    *inputs: Tensor,
    dim: int,
    tokens: int = 1,
    make_output: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Apply a function that treats the places along an axis by themselves.

    On a CPU and without gradients it goes through them in chunks; elsewhere it is called once.

    Args:
        function: Takes the inputs, and gives as many places as it gets.
        inputs: As long as each other along the axis.
        dim: The axis.
        tokens: At each place of it.
        make_output: Makes what chunks are put into, in its type and layout; otherwise it is like the first input.
    """
    first, size = inputs[0], max(1, CHUNK // tokens)
    is_whole = torch.is_grad_enabled() or first.device.type != "cpu" or is_transformed()
    if is_whole or first.shape[dim] <= size:
        return function(*inputs)
    output = torch.empty_like(first) if make_output is None else make_output()
    chunks = zip(*(tensor.split(size, dim) for tensor in inputs), strict=True)
    for chunk, place in zip(chunks, output.split(size, dim), strict=True):
        place.copy_(function(*chunk))
    return output
