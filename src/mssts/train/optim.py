"""Optimizers and learning-rate schedule."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mssts.loss.config import AdversarialConfig
from mssts.train.config import OptimConfig

# Parameters that decide where attention looks; large steps would throw the sampling points out of the frame.
SLOW_NAMES = ("sampling_offsets", "first_reference")
MILESTONE_FACTOR = 0.1
# Shares of the training: epochs 4 and 10 of the recipe's 12.
RECIPE_MILESTONES = (4 / 12, 10 / 12)
BACKBONE = "backbone"


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over three groups; each group's `factor` is its share of the learning rate."""
    groups = [
        {"name": "transformer", "params": [], "factor": 1.0},
        {"name": "slow", "params": [], "factor": config.slow_factor},
        {"name": BACKBONE, "params": [], "factor": config.backbone_factor},
    ]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_slow = any(part in name for part in SLOW_NAMES)
            groups[2 if name.startswith("backbone.") else int(is_slow)]["params"].append(parameter)
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(
        filled,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
    )


def thaw_backbone(optimizer: torch.optim.Optimizer, trains: bool) -> None:
    """Let the backbone's parameters learn, or spare their gradients: a frozen backbone halves a step's time."""
    for group in optimizer.param_groups:
        if group["name"] == BACKBONE:
            for parameter in group["params"]:
                parameter.requires_grad_(trains)


def average_update(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """How a moving average takes in new weights, in the form that `AveragedModel` wants.

    The decay grows with the number of updates, (1 + n) / (10 + n) up to `decay`: a training of a few hundred steps is
    not left with an average that is mostly the weights it started from.
    """

    @torch.no_grad()
    def _update(averages: Sequence[Tensor], news: Sequence[Tensor], num_updates: Tensor | int) -> None:
        count = float(num_updates)
        share = 1 - min(decay, (1 + count) / (10 + count))
        for average, new in zip(averages, news, strict=True):
            if average.is_floating_point():
                average.lerp_(new, share)
            else:
                average.copy_(new)

    return _update


def make_discriminator_optimizer(
    discriminator: nn.Module, config: AdversarialConfig, epsilon: float
) -> torch.optim.AdamW:
    """AdamW of the adversary (paper: section 3.4 leaves it open; betas as in pix2pix)."""
    return torch.optim.AdamW(discriminator.parameters(), lr=config.learning_rate, betas=config.betas, eps=epsilon)


def learning_rate(config: OptimConfig, step: int, num_steps: int, epochs: float | None) -> float:
    """The learning rate of a step, 0-based, of `num_steps`; `epochs` is their length if it was given in epochs."""
    warmup = min(1.0, (step + 1) / max(1, min(config.warmup_steps, num_steps // 4)))
    progress = step / num_steps
    if config.schedule == "cosine":
        cosine = (1 + math.cos(math.pi * progress)) / 2
        return config.learning_rate * warmup * (config.final_factor + (1 - config.final_factor) * cosine)
    marks = RECIPE_MILESTONES if config.milestones is None else [mark / (epochs or 1.0) for mark in config.milestones]
    return config.learning_rate * warmup * MILESTONE_FACTOR ** sum(progress >= mark for mark in marks)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give each group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["factor"]
