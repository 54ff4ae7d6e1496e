"""Weights for tests: every parameter, norms and biases too, gets a value that a mistake would show in."""

from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def randomise(module: M, seed: int = 0) -> M:
    """Random weights of sensible size in inference mode; the buffers of the backbone stay as they are."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=random, dtype=parameter.dtype)
            fan_in = parameter[0].numel() if parameter.ndim > 1 else parameter.numel()
            parameter.copy_(1 + 0.3 * noise if "norm" in name and "weight" in name else noise / fan_in**0.5)
    return module.requires_grad_(False).eval()


def random_tokens(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
