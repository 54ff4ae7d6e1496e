"""A small random model that finds something in every clip, and its settings."""

from dataclasses import replace

import torch

from mssts.api import Segmenter
from mssts.config import Category, MsStsConfig, TemporalDecoderConfig, preset
from mssts.model.vis import VisModel

CATEGORIES = (Category(0, 7, "cat"), Category(1, 9, "dog"), Category(3, 2, "bird"))


def make_segmenter(seed: int = 0, contributions: bool = True) -> Segmenter:
    """Random weights, with classes as sure as a trained model's and boxes that differ."""
    torch.manual_seed(seed)
    config = replace(
        preset("tiny"),
        hidden_dim=32,
        num_queries=6,
        num_class_slots=4,
        categories=CATEGORIES,
        short_side=64,
        backbone="mobilenetv4_conv_small",
        ms_sts=MsStsConfig(enabled=contributions, num_heads=4, mlp_ratio=1.0),
        temporal_decoder=TemporalDecoderConfig(enabled=contributions, num_heads=4),
    )
    model = VisModel(config)
    with torch.no_grad():
        for head in model.decoder.class_heads:
            head.get_parameter("bias").fill_(0.5)
    return Segmenter(model)
