"""Exact attention of queries to keys, without the matrix of all pairs: PyTorch's, or a faster one on some CPUs."""

import os
from functools import cache
from types import ModuleType

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mssts.model.native import fits_kernels, run_in_threads

# Set to "reference", it switches the fast form off.
FORM_VARIABLE = "MSSTS_ATTENTION"
FEWEST_PAIRS = 2**18
"""Of queries and keys from which on the kernel is worth its preparations."""
PARTS = 16
"""Of a thread's share, so that cores finish together."""


def attend(
    query: Float[Tensor, "G n heads d"],
    key: Float[Tensor, "G m heads d"],
    value: Float[Tensor, "G m heads d"],
    padding_mask: Bool[Tensor, "G m"] | None = None,
) -> Float[Tensor, "G n heads d"]:
    """Average the values under softmax(query key / sqrt(d)), in each of G sequences and each head.

    Args:
        query: Who looks.
        key: What is looked at.
        value: What is seen there.
        padding_mask: True where a key is not to be looked at.
    """
    if padding_mask is None and not torch.is_grad_enabled() and fits_kernels(query, key, value):
        is_large = query.shape[1] * key.shape[1] >= FEWEST_PAIRS
        kernels = _kernels() if is_large and os.environ.get(FORM_VARIABLE) != "reference" else None
        if kernels is not None and query.shape[-1] % kernels.WIDTH == 0:
            return _attend_with(kernels, query, key, value)
    visible = None if padding_mask is None else ~padding_mask[:, None, None, :]
    by_head = (tensor.transpose(1, 2) for tensor in (query, key, value))
    return F.scaled_dot_product_attention(*by_head, attn_mask=visible).transpose(1, 2)


def attention_form() -> str:
    """Say in words which form float32 tensors on the CPU get, without gradients."""
    is_fast = os.environ.get(FORM_VARIABLE) != "reference" and _kernels() is not None
    return "Numba kernel" if is_fast else "PyTorch (scaled_dot_product_attention)"


@cache
def _kernels() -> ModuleType | None:
    # On first use: the import compiles, and most programs never need it. LLVM may not know the processor.
    try:
        from mssts.model import attention_kernels
    except (ImportError, OSError, RuntimeError):
        return None
    return attention_kernels


def _attend_with(kernels: ModuleType, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    depth, num_keys = key.shape[-1], key.shape[1]
    missing = -num_keys % kernels.WIDTH
    norms = torch.linalg.vector_norm(key, dim=-1).amax(1).flatten()
    keys, values = (F.pad(x.transpose(1, 2), (0, 0, 0, missing)).flatten(0, 1) for x in (key, value))
    tiles = keys.unflatten(1, (-1, kernels.WIDTH)).transpose(2, 3).contiguous()
    output = torch.empty(query.shape)
    arrays = [x.detach().contiguous().numpy() for x in (query, tiles, values, norms)]
    num_blocks = -(-query.shape[1] // kernels.BLOCK_ROWS) * len(values)
    scale = kernels.LOG2_E / depth**0.5
    run_in_threads(kernels.attend, num_blocks, *arrays, output.numpy(), num_keys, scale, parts=PARTS)
    return output
