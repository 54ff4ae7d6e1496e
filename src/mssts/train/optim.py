"""Optimizer and learning-rate schedule."""

import math

import torch
from torch import nn

from mssts.train.settings import TrainSettings

# Parameters that decide where attention looks; large steps would throw the sampling points out of the frame.
SLOW_NAMES = ("sampling_offsets", "first_reference")


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over two groups; each group's `factor` is its share of the learning rate."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    slow = [parameter for name, parameter in named if any(part in name for part in SLOW_NAMES)]
    usual = [parameter for name, parameter in named if not any(part in name for part in SLOW_NAMES)]
    groups = [{"params": usual, "factor": 1.0}, {"params": slow, "factor": settings.slow_factor}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def learning_rate(settings: TrainSettings, step: int, progress: float) -> float:
    """The learning rate of a step: a linear warm-up over steps times a cosine decay over the training's progress."""
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return settings.learning_rate * warmup * (settings.final_factor + (1 - settings.final_factor) * cosine)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give each group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["factor"]
