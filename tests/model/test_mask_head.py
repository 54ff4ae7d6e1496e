"""Masks against a loop over instances and pixels."""

import numpy as np
import torch
from random_weights import random_tokens, randomise
from torch import Tensor

from mssts.model.mask_head import MaskFeatureHead, predict_masks, upsample_aligned

HEIGHT, WIDTH = 3, 4


def naive_mask(features: np.ndarray, kernel: np.ndarray, point_px: np.ndarray) -> np.ndarray:
    """One instance in one frame: features [8, h, w], kernel [169], reference point (x, y) in pixels -> [h, w]."""
    sizes = ((8, 10), (8, 8), (1, 8))
    weights, at = [], 0
    for rows, columns in sizes:
        weights.append(kernel[at : at + rows * columns].reshape(rows, columns))
        at += rows * columns
    biases = np.split(kernel[at:], (8, 16))
    assert at + sum(map(len, biases)) == len(kernel) == 169
    logits = np.zeros(features.shape[1:])
    for row, column in np.ndindex(*logits.shape):
        x = np.concatenate((point_px - (8 * column + 4, 8 * row + 4), features[:, row, column]))
        for layer in range(3):
            x = weights[layer] @ x + biases[layer]
            x = np.maximum(x, 0) if layer < 2 else x
        logits[row, column] = x[0]
    return logits


def naive_upsample(logits: np.ndarray) -> np.ndarray:
    """Row r of the result lies at (r - 1) / 2 of the input, but not above its first nor below its last row."""
    rows, columns = logits.shape
    result = np.zeros((2 * rows, 2 * columns))
    for r, c in np.ndindex(*result.shape):
        y, x = max(r - 1, 0) / 2, max(c - 1, 0) / 2
        near = [(int(y), 1 - y % 1), (min(int(y) + 1, rows - 1), y % 1)]
        across = [(int(x), 1 - x % 1), (min(int(x) + 1, columns - 1), x % 1)]
        result[r, c] = sum(logits[i, j] * wy * wx for i, wy in near for j, wx in across)
    return result


def test_masks_equal_a_network_per_instance_and_pixel() -> None:
    features = random_tokens(2, 3, 8, HEIGHT, WIDTH)
    kernels = random_tokens(2, 5, 169, seed=2) / 10
    points = torch.rand(2, 3, 5, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    sizes = [(24, 32), (20, 31)]
    ours = predict_masks(features, kernels, points, sizes)
    assert ours.shape == (2, 5, 3, 2 * HEIGHT, 2 * WIDTH)
    for clip, instance, frame in np.ndindex(2, 5, 3):
        point_px = points[clip, frame, instance].numpy() * sizes[clip][::-1]
        logits = naive_mask(features[clip, frame].numpy(), kernels[clip, instance].numpy(), point_px)
        np.testing.assert_allclose(ours[clip, instance, frame], naive_upsample(logits), atol=1e-10)


def test_masks_of_no_instance() -> None:
    features = random_tokens(1, 2, 8, HEIGHT, WIDTH)
    masks = predict_masks(features, features.new_zeros(1, 0, 169), features.new_zeros(1, 2, 0, 2), [(24, 32)])
    assert masks.shape == (1, 0, 2, 2 * HEIGHT, 2 * WIDTH)


def test_mask_upsampling_of_a_single_pixel() -> None:
    assert torch.equal(upsample_aligned(torch.full((1, 1, 1, 1), 3.0)), torch.full((1, 1, 2, 2), 3.0))


def test_mask_gradients() -> None:
    features = random_tokens(1, 2, 8, 2, 2).requires_grad_()
    kernels = (random_tokens(1, 2, 169, seed=2) / 4).requires_grad_()
    points = random_tokens(1, 2, 2, 2, seed=3).requires_grad_()

    def run(features: Tensor, kernels: Tensor, points: Tensor) -> Tensor:
        return predict_masks(features, kernels, points, [(16, 16)])

    assert torch.autograd.gradcheck(run, [features, kernels, points], fast_mode=True)


def test_mask_features_merge_odd_levels() -> None:
    """Each level is its own map plus the coarser result at the nearest pixel, through its own 3x3 convolution."""
    head = randomise(MaskFeatureHead(32))
    maps = [random_tokens(1, 32, *shape, seed=seed).float() for seed, shape in enumerate(((7, 9), (4, 5), (2, 3)))]
    x = head.conv32(maps[2]).relu()
    for level, convolution in ((1, head.conv16), (0, head.conv8)):
        rows, columns = maps[level].shape[-2:]
        grown = torch.zeros_like(maps[level])
        for row, column in np.ndindex(rows, columns):
            grown[..., row, column] = x[..., row * x.shape[-2] // rows, column * x.shape[-1] // columns]
        x = convolution(maps[level] + grown).relu()
    expected = head.output(head.reduce(x).relu()).relu()
    assert expected.shape == (1, 8, 7, 9)
    assert torch.allclose(head(*maps), expected, atol=1e-6)
