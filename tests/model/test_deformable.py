"""Deformable attention against a loop over queries, heads, levels and points."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_weights import random_tokens, randomise
from torch import Tensor

from mssts.model.deformable import DeformableSampling, sample_deformable

SHAPES = ((5, 3), (2, 4), (1, 1))
NUM_TOKENS = sum(height * width for height, width in SHAPES)


def naive_pixel(level: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear value of a map [H, W, d] at (x, y) in 0..1; what lies outside counts as 0."""
    height, width = level.shape[:2]
    column, row = x * width - 0.5, y * height - 0.5
    value = np.zeros(level.shape[-1])
    for near_row in (math.floor(row), math.floor(row) + 1):
        for near_column in (math.floor(column), math.floor(column) + 1):
            if 0 <= near_row < height and 0 <= near_column < width:
                share = (1 - abs(row - near_row)) * (1 - abs(column - near_column))
                value += share * level[near_row, near_column]
    return value


def naive_sample(values: np.ndarray, locations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    frames, queries, heads, _, points = weights.shape
    starts = np.cumsum([0, *(height * width for height, width in SHAPES)])
    result = np.zeros((frames, queries, heads, values.shape[-1]))
    for m, q, h, p in np.ndindex(frames, queries, heads, points):
        for level, (height, width) in enumerate(SHAPES):
            level_map = values[m, starts[level] : starts[level + 1], h].reshape(height, width, -1)
            sample = naive_pixel(level_map, *locations[m, q, h, level, p])
            result[m, q, h] += weights[m, q, h, level, p] * sample
    return result.reshape(frames, queries, -1)


def random_inputs(frames: int = 2, queries: int = 4, heads: int = 2, points: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Values, locations of which a part lies outside the map, weights."""
    values = random_tokens(frames, NUM_TOKENS, heads, 3)
    locations = 0.5 + 0.6 * random_tokens(frames, queries, heads, len(SHAPES), points, 2, seed=2)
    weights = random_tokens(frames, queries, heads, len(SHAPES), points, seed=3)
    return values, locations, weights


def test_deformable_sampling_equals_loops() -> None:
    values, locations, weights = random_inputs()
    assert (locations < 0).any()
    assert (locations > 1).any()
    ours = sample_deformable(values, SHAPES, locations, weights)
    expected = naive_sample(values.numpy(), locations.numpy(), weights.numpy())
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)


def test_deformable_sampling_takes_non_contiguous_tensors() -> None:
    values, locations, weights = random_inputs()
    strided = [torch.stack((tensor, tensor * 0), -1)[..., 0] for tensor in (values, locations, weights)]
    swapped = values.transpose(0, 1).contiguous().transpose(0, 1)
    assert not any(tensor.is_contiguous() for tensor in (*strided, swapped))
    expected = sample_deformable(values, SHAPES, locations, weights)
    assert torch.equal(sample_deformable(strided[0], SHAPES, strided[1], strided[2]), expected)
    assert torch.equal(sample_deformable(swapped, SHAPES, locations, weights), expected)


def test_deformable_sampling_far_outside_is_zero() -> None:
    values, locations, weights = random_inputs()
    assert sample_deformable(values, SHAPES, locations + 10, weights).abs().max() == 0


def test_deformable_sampling_gradients() -> None:
    inputs = [tensor.requires_grad_() for tensor in random_inputs(frames=1, queries=2, points=2)]
    assert torch.autograd.gradcheck(lambda v, x, w: sample_deformable(v, SHAPES, x, w), inputs)


@pytest.mark.parametrize("coordinates", [2, 4])
def test_deformable_points_lie_around_reference_points_and_boxes(coordinates: int) -> None:
    """Offsets are pixels of the level around a point, and shares of half the box around a box."""
    module = randomise(DeformableSampling(8, num_heads=2, num_levels=3, num_points=2)).double()
    query, tokens = random_tokens(2, 4, 8), random_tokens(2, NUM_TOKENS, 8, seed=2)
    reference = torch.rand(2, 4, 3, coordinates, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    mask = torch.arange(NUM_TOKENS).expand(2, -1) % 5 == 0
    ours = module(query, reference, module.value_proj(tokens, mask), SHAPES)

    offsets = module.sampling_offsets(query).view(2, 4, 2, 3, 2, 2).numpy()
    weights = module.attention_weights(query).view(2, 4, 2, 6).softmax(-1).view(2, 4, 2, 3, 2).numpy()
    plain = F.linear(tokens, module.value_proj.weight, module.value_proj.bias)
    values = plain.view(2, NUM_TOKENS, 2, 4).numpy() * ~mask.numpy()[:, :, None, None]
    locations = np.zeros((2, 4, 2, 3, 2, 2))
    for m, q, h, level, p in np.ndindex(2, 4, 2, 3, 2):
        place, offset = reference[m, q, level].numpy(), offsets[m, q, h, level, p]
        unit = 1 / np.array(SHAPES[level][::-1]) if coordinates == 2 else place[2:] / 2 * 0.5
        locations[m, q, h, level, p] = place[:2] + offset * unit
    np.testing.assert_allclose(ours.numpy(), naive_sample(values, locations, weights), atol=1e-6)


def test_deformable_attention_starts_as_a_star() -> None:
    """Head h of 4 looks in direction h * 90 degrees, point p at p + 1 pixels, all with the same weight."""
    module = DeformableSampling(8, num_heads=4, num_levels=2, num_points=3)
    offsets = module.sampling_offsets(torch.randn(8)).detach().view(4, 2, 3, 2).numpy()
    for head, direction in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        for level, point in np.ndindex(2, 3):
            np.testing.assert_allclose(offsets[head, level, point], np.array(direction) * (point + 1), atol=1e-6)
    assert module.attention_weights(torch.randn(8)).detach().abs().max() == 0
