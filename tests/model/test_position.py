"""Sine encodings against their definition, one number at a time."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mssts.model.position import frame_position, time_position


def naive_sine(coordinate: float, dim: int) -> list[float]:
    values = []
    for index in range(dim):
        angle = coordinate / 10000 ** (2 * (index // 2) / dim)
        values.append(math.cos(angle) if index % 2 else math.sin(angle))
    return values


def naive_frame_position(mask: np.ndarray, dim: int) -> np.ndarray:
    """y first; a coordinate is the number of unpadded pixels up to here less a half, as a share of all of them."""
    result = np.zeros((*mask.shape, dim))
    for row, column in np.ndindex(*mask.shape):
        y = sum(not padded for padded in mask[: row + 1, column]) - 0.5
        x = sum(not padded for padded in mask[row, : column + 1]) - 0.5
        y /= sum(not padded for padded in mask[:, column]) + 1e-6
        x /= sum(not padded for padded in mask[row]) + 1e-6
        result[row, column] = naive_sine(y * 2 * math.pi, dim // 2) + naive_sine(x * 2 * math.pi, dim // 2)
    return result


def padded_clips() -> Tensor:
    mask = torch.zeros(3, 5, 7, dtype=torch.bool)
    mask[1, 3:] = True
    mask[2, :, 4:] = True
    return mask


@pytest.mark.parametrize("dim", [8, 32])
def test_frame_position_equals_its_definition_where_nothing_is_padded(dim: int) -> None:
    mask = padded_clips()
    ours = frame_position(mask, dim)
    for clip in range(3):
        valid = ~mask[clip].numpy()
        expected = naive_frame_position(mask[clip].numpy(), dim)
        np.testing.assert_allclose(ours[clip].numpy()[valid], expected[valid], atol=1e-5)


def test_frame_position_of_a_padded_clip_is_that_of_the_clip_alone() -> None:
    mask = padded_clips()
    assert torch.allclose(frame_position(mask, 16)[1, :3], frame_position(mask[1:2, :3], 16)[0])
    assert torch.allclose(frame_position(mask, 16)[2, :, :4], frame_position(mask[2:, :, :4], 16)[0])


def test_time_position_counts_frames_from_zero() -> None:
    expected = [naive_sine(float(frame), 16) for frame in range(6)]
    np.testing.assert_allclose(time_position(6, 16, torch.device("cpu")).numpy(), expected, atol=1e-6)
