"""Dropout, and ReLU with dropout behind it, without the memory and random numbers that make them dear on a CPU.

The meaning is that of `nn.Dropout`. Compiled kernels take float32 on the CPU; everything else is PyTorch's own.
"""

from functools import cache
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mssts.model.native import fits_kernels, run_in_threads

NUM_HASHES = 2**32


class Dropout(nn.Module):
    """In training, set a share p of the numbers to zero and divide the others by 1 - p.

    Args:
        p: From 0 to below 1.

    Raises:
        ValueError: p is outside.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout is {p}, must be at least 0 and below 1")
        self.p = p

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Drop; which numbers is drawn from PyTorch's default generator."""
        if not self.training or self.p == 0:
            return x
        if fits_kernels(x) and (kernels := _kernels()) is not None:
            return _Drop.apply(x, self.p, kernels)
        return F.dropout(x, self.p)

    def after_relu(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """ReLU, then dropout; may overwrite x where no gradients are needed, keeps only the result where they are."""
        if not self.training or self.p == 0:
            # Not in place in training: a linear layer's output is a view, whose gradient would then be copied twice.
            return x.relu() if torch.is_grad_enabled() else x.relu_()
        if fits_kernels(x) and (kernels := _kernels()) is not None:
            return _ReluDrop.apply(x, self.p, kernels)
        return F.dropout(x.relu(), self.p)

    def extra_repr(self) -> str:
        """Show p when printed."""
        return f"p={self.p}"


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float, kernels: ModuleType) -> Tensor:
        """Set a share p of the numbers to zero and scale the others up."""
        ctx.numbers, ctx.kernels = _numbers(p), kernels
        return _drop(x, ctx)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Drop the same numbers of the gradient, which the seeds tell."""
        return _drop(grad_output, ctx), None, None


class _ReluDrop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float, kernels: ModuleType) -> Tensor:
        """ReLU and dropout in one pass."""
        ctx.scale, ctx.kernels = 1 / (1 - p), kernels
        x = x.contiguous()
        output = torch.empty_like(x)
        run_in_threads(kernels.relu_drop, x.numel(), _flat(x), _flat(output), *_numbers(p))
        # The layer behind keeps it anyway, so that the backward pass needs no memory of its own.
        ctx.save_for_backward(output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradient where the output is not zero, scaled up."""
        (output,) = ctx.saved_tensors
        grad_output = grad_output.contiguous()
        grad = torch.empty_like(grad_output)
        arrays = [_flat(tensor) for tensor in (output, grad_output, grad)]
        run_in_threads(ctx.kernels.relu_drop_backward, grad.numel(), *arrays, ctx.scale)
        return grad, None, None


def _drop(x: Tensor, ctx: Any) -> Tensor:
    x = x.contiguous()
    output = torch.empty_like(x)
    run_in_threads(ctx.kernels.drop, x.numel(), _flat(x), _flat(output), *ctx.numbers)
    return output


def _numbers(p: float) -> tuple[int, int, int, float]:
    """Two seeds, the hash from which on numbers stay, and what those are multiplied with."""
    seed, second_seed = torch.randint(NUM_HASHES, (2,)).tolist()
    return seed, second_seed, round(p * NUM_HASHES), 1 / (1 - p)


def _flat(x: Tensor) -> Any:
    return x.detach().view(-1).numpy()


@cache
def _kernels() -> ModuleType | None:
    # On first use: the import compiles, and a program that does not train never needs it.
    try:
        from mssts.model import dropout_kernels
    except (ImportError, OSError):
        return None
    return dropout_kernels
