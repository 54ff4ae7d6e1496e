"""A model of the full structure that runs in a fraction of a second, with random weights everywhere."""

from dataclasses import replace

import torch
from random_weights import randomise
from torch import Tensor

from mssts.config import ModelConfig, preset
from mssts.model.vis import VisModel


def small_config(variant: str = "") -> ModelConfig:
    """A preset variant ("", "baseline-", "ms-sts-", "t-dec-") shrunk; joint attention on every level but the last."""
    config = preset(f"{variant}tiny")
    return replace(
        config,
        backbone="resnet10t",
        hidden_dim=32,
        num_heads=2,
        feedforward_dim=48,
        num_decoder_layers=2,
        num_queries=6,
        ms_sts=replace(config.ms_sts, num_heads=2, joint_levels=None),
        temporal_decoder=replace(config.temporal_decoder, num_heads=2),
    )


def small_model(config: ModelConfig | None = None, seed: int = 0) -> VisModel:
    """Every weight random, so that fusion and temporal attention are far from the identity they start as."""
    return randomise(VisModel(config or small_config()), seed)


def random_frames(num_clips: int, num_frames: int, height: int, width: int, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(num_clips, num_frames, 3, height, width, generator=random)


def right_and_bottom_mask(sizes: list[tuple[int, int]], height: int, width: int) -> Tensor:
    """Padding mask of clips of the given unpadded sizes."""
    mask = torch.ones(len(sizes), height, width, dtype=torch.bool)
    for clip, (clip_height, clip_width) in zip(mask, sizes, strict=True):
        clip[:clip_height, :clip_width] = False
    return mask
