"""A converted baseline checkpoint gives the same numbers with the paper's contributions switched on."""

from dataclasses import replace

import pytest
import torch
from official_names import random_official

from mssts.config import ModelConfig, preset
from mssts.model.vis import VisModel
from mssts.tools.convert_seqformer import convert
from mssts.types import Prediction

HEIGHT, WIDTH = 64, 96


def full_config() -> ModelConfig:
    return replace(
        preset("tiny"),
        backbone="resnet10t",
        hidden_dim=32,
        num_heads=2,
        feedforward_dim=48,
        num_decoder_layers=2,
        num_queries=6,
        ms_sts=replace(preset("r50").ms_sts, num_heads=2),
        temporal_decoder=replace(preset("r50").temporal_decoder, num_heads=2),
    )


@pytest.fixture(scope="module")
def models() -> tuple[VisModel, VisModel]:
    full = full_config()
    off = replace(full, ms_sts=replace(full.ms_sts, enabled=False))
    baseline = replace(off, temporal_decoder=replace(full.temporal_decoder, enabled=False))
    state = random_official(baseline)
    return convert(state, config=baseline).model, convert(state, config=full).model


def run_both(models: tuple[VisModel, VisModel], padded: bool) -> tuple[Prediction, Prediction]:
    frames = torch.randn(2, 3, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    mask[1, 48:] = True
    mask[1, :, 56:] = True
    with torch.no_grad():
        baseline, full = (model(frames, mask if padded else None) for model in models)
    return baseline, full


@pytest.mark.parametrize("padded", [False, True])
def test_identity_of_converted_baseline_weights(models: tuple[VisModel, VisModel], padded: bool) -> None:
    baseline, full = run_both(models, padded)
    for name, ours, expected in zip(Prediction._fields[:6], full[:6], baseline[:6], strict=True):
        assert torch.allclose(ours, expected, atol=1e-5), name
    for ours, expected in zip(full.memory, baseline.memory, strict=True):
        assert torch.allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("part", ["encoder.layers.1.fusion", "decoder.layers.0.temporal_attention.attention.out_proj"])
def test_identity_ends_with_training(models: tuple[VisModel, VisModel], part: str) -> None:
    """The added parts do take part: a step of their weights away from the start changes the outputs."""
    full = models[1]
    weights = list(full.get_submodule(part).parameters())
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
    baseline, changed = run_both(models, padded=False)
    with torch.no_grad():
        for weight, value in zip(weights, before, strict=True):
            weight.copy_(value)
    assert (baseline.boxes_cxcywh[-1] - changed.boxes_cxcywh[-1]).abs().max() > 1e-3
