"""Activation maps against plain loops, and the scale of their colours."""

import math

import numpy as np
import pytest
import torch

from mssts.inspect.activation import MEASURES, RunningScale, activation, to_heat


def naive(values: list[float], measure: str) -> float:
    if measure == "rms":
        return math.sqrt(sum(value * value for value in values) / len(values))
    if measure == "abs":
        return sum(abs(value) for value in values) / len(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("measure", MEASURES)
def test_activation_equals_loops(measure):
    memory = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    maps = activation(memory, measure)
    for frame, y, x in np.ndindex(2, 3, 4):
        assert maps[frame, y, x] == pytest.approx(naive(memory[frame, :, y, x].tolist(), measure), abs=1e-6)


@pytest.mark.parametrize("measure", ["rms", "abs"])
def test_a_planted_object_is_hot_whatever_its_sign(measure):
    memory = 0.1 * torch.randn(3, 16, 10, 12, generator=torch.Generator().manual_seed(1))
    memory[:, :8, 3:6, 4:9] -= 2.0
    maps = activation(memory, measure)
    scale = RunningScale()
    scale.add(maps)
    heat = to_heat(maps, *scale.range())
    inside = np.zeros((10, 12), dtype=bool)
    inside[3:6, 4:9] = True
    assert heat[:, inside].min() > 0.8
    assert heat[:, ~inside].max() < 0.2


def test_scale_is_the_mean_of_the_windows_percentiles():
    windows = np.random.default_rng(0).normal(size=(3, 2, 8, 8)).astype(np.float32)
    scale = RunningScale()
    with pytest.raises(ValueError, match="no windows"):
        scale.range()
    ordered = []
    for window in windows:
        scale.add(window)
        ordered.append(np.sort(window, axis=None))
    # 128 numbers: percentile p lies at place 1.27 p, between its neighbours.
    low = np.mean([values[2] + 0.54 * (values[3] - values[2]) for values in ordered])
    high = np.mean([values[126] + 0.365 * (values[127] - values[126]) for values in ordered])
    assert scale.range() == pytest.approx((low, high), abs=1e-5)


def test_heat_is_a_share_of_the_range():
    heat = to_heat(np.array([0.0, 1.0, 2.0, 3.0, 9.0], dtype=np.float32), 1.0, 3.0)
    assert heat.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert to_heat(np.ones(3, dtype=np.float32), 1.0, 1.0).tolist() == [0.0, 0.0, 0.0]
