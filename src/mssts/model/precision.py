"""In which numbers a model computes: float32, or matrix products in bfloat16."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["fp32", "bf16"]
LOW = (torch.bfloat16, torch.float16)


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """A context for the forward pass: `bf16` lets PyTorch choose bfloat16 where it is safe (autocast).

    Weights stay float32. Sampling points, softmax, normalisation and the mask head stay float32 too.
    """
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, torch.bfloat16)


def in_full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast, if it is on, is off."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it has half as many bits."""
    return tensor.float() if tensor.dtype in LOW else tensor
