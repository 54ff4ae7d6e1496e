"""What an encoder layer is made of, where its queries look, and whether it knows the order of frames."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from random_weights import random_tokens, randomise
from small_models import random_frames, small_config, small_model
from torch import Tensor

from mssts.model.encoder import EncoderLayer, Fusion, reference_grid
from mssts.model.pyramid import Pyramid

SHAPES = ((4, 5), (2, 3), (1, 2), (1, 1))
NUM_TOKENS = sum(height * width for height, width in SHAPES)


def random_pyramid() -> Pyramid:
    return Pyramid(random_tokens(1, 3, NUM_TOKENS, 32).float(), SHAPES, None, torch.ones(1, 4, 2))


def test_reference_grid_is_pixel_centres_in_units_of_the_valid_part() -> None:
    ratios = torch.tensor([[[1.0, 0.5], [0.8, 1.0]]])
    shapes = ((2, 3), (1, 2))
    grid = reference_grid(shapes, ratios)
    token = 0
    for level, (height, width) in enumerate(shapes):
        for row, column in np.ndindex(height, width):
            for target in range(2):
                x = (column + 0.5) / width / ratios[0, level, 0] * ratios[0, target, 0]
                y = (row + 0.5) / height / ratios[0, level, 1] * ratios[0, target, 1]
                assert grid[0, token, target].tolist() == pytest.approx([float(x), float(y)], abs=1e-6)
            token += 1
    assert token == grid.shape[1]


def test_fusion_starts_as_exactly_the_base() -> None:
    base, enriched = random_tokens(2, 3, 32).float(), random_tokens(2, 3, 32, seed=2).float()
    assert torch.equal(Fusion(32)(base, enriched), base)


def test_fusion_convolves_base_and_enriched_before_the_feed_forward() -> None:
    """Inside a layer: 1x1 convolution of (deformable attention after LN, MS-STS attention of the layer's input)."""
    layer, pyramid = randomise(EncoderLayer(small_config())), random_pyramid()
    position = random_tokens(1, NUM_TOKENS, 32, seed=2).float()
    seen: dict[str, Tensor] = {}
    assert layer.ms_sts is not None
    assert layer.fusion is not None
    layer.norm.register_forward_hook(lambda *call: seen.update(base=call[2]))
    output = layer(pyramid, position, reference_grid(SHAPES, pyramid.valid_ratios), None).tokens
    enriched = layer.ms_sts(pyramid.tokens, SHAPES, None, None)
    weight_base, weight_enriched = layer.fusion.convolution.weight.chunk(2, dim=1)
    fused = seen["base"] @ weight_base.T + enriched @ weight_enriched.T + layer.fusion.convolution.bias
    hidden = layer.feed_forward.linear1(fused).clamp(min=0)
    expected = layer.feed_forward.norm(fused + layer.feed_forward.linear2(hidden))
    assert torch.allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize(("variant", "position"), [("baseline-", "none"), ("ms-sts-", "none"), ("ms-sts-", "sine")])
def test_frame_order_matters_only_with_time_encoding(variant: str, position: Literal["sine", "none"]) -> None:
    config = small_config(variant)
    model = small_model(replace(config, ms_sts=replace(config.ms_sts, position=position)))
    frames, order = random_frames(1, 4, 64, 96), torch.tensor([2, 0, 3, 1])
    straight, shuffled = model.encode(frames).tokens[:, order], model.encode(frames[:, order]).tokens
    if position == "none":
        assert torch.allclose(straight, shuffled, atol=1e-5)
    else:
        assert (straight - shuffled).abs().max() > 1e-2


@pytest.mark.parametrize(("variant", "mixes"), [("baseline-", False), ("ms-sts-", True)])
def test_frames_mix_in_the_encoder_only_by_ms_sts(variant: str, mixes: bool) -> None:
    model, frames = small_model(small_config(variant)), random_frames(1, 3, 64, 96)
    changed = frames.clone()
    changed[:, 0] += random_frames(1, 1, 64, 96, seed=2)[:, 0]
    difference = (model.encode(frames).tokens - model.encode(changed).tokens).abs().amax(dim=(0, 2, 3))
    assert difference[0] > 0.1
    assert bool((difference[1:] > 1e-3).all()) is mixes
