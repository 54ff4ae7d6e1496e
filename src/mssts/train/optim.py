"""Optimizer and learning-rate schedule."""

import math

import torch
from torch import nn

from mssts.train.settings import TrainSettings

# Parameters that decide where attention looks; large steps would throw the sampling points out of the frame.
SLOW_NAMES = ("sampling_offsets", "first_reference")


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over three groups; each group's `factor` is its share of the learning rate."""
    groups = [
        {"params": [], "factor": 1.0},
        {"params": [], "factor": settings.slow_factor},
        {"params": [], "factor": settings.backbone_factor if settings.imagenet else 1.0},
    ]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_slow = any(part in name for part in SLOW_NAMES)
            groups[2 if name.startswith("backbone.") else int(is_slow)]["params"].append(parameter)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def thaw_backbone(optimizer: torch.optim.Optimizer, trains: bool) -> None:
    """Let the backbone's parameters learn, or spare their gradients: a frozen backbone halves a step's time."""
    for parameter in optimizer.param_groups[2]["params"]:
        parameter.requires_grad_(trains)


def learning_rate(settings: TrainSettings, step: int, progress: float) -> float:
    """The learning rate of a step: a linear warm-up over steps times a cosine decay over the training's progress."""
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return settings.learning_rate * warmup * (settings.final_factor + (1 - settings.final_factor) * cosine)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give each group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["factor"]
