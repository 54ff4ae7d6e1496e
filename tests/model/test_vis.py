"""The whole model: shapes, batches, windows joined along T, gradients."""

from dataclasses import replace

import pytest
import torch
from small_models import random_frames, small_config, small_model

from mssts.model.mask_head import predict_masks
from mssts.model.vis import VisModel


@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 101)])
def test_prediction_has_the_documented_shapes(height: int, width: int) -> None:
    config = small_config()
    output = small_model(config)(random_frames(2, 3, height, width))
    layers, queries = config.num_decoder_layers, config.num_queries
    rows, columns = -(-height // 8), -(-width // 8)
    assert output.class_logits.shape == (layers, 2, queries, config.num_class_slots)
    assert output.boxes_cxcywh.shape == (layers, 2, 3, queries, 4)
    assert output.reference_points.shape == (layers, 2, 3, queries, 2)
    assert output.mask_kernels.shape == (layers, 2, queries, 169)
    assert output.embeddings.shape == (layers, 2, queries, 32)
    assert output.mask_features.shape == (2, 3, 8, rows, columns)
    expected = [(-(-height // stride), -(-width // stride)) for stride in (8, 16, 32, 64)]
    assert [tuple(level.shape) for level in output.memory] == [(2, 3, 32, *shape) for shape in expected]
    assert all(torch.isfinite(field).all() for field in output[:6])
    sizes = [(height, width)] * 2
    masks = predict_masks(output.mask_features, output.mask_kernels[-1], output.reference_points[-1], sizes)
    assert masks.shape == (2, queries, 3, 2 * rows, 2 * columns)


@pytest.mark.parametrize("variant", ["baseline-", ""])
def test_clip_in_a_batch_equals_the_clip_alone(variant: str) -> None:
    model, frames = small_model(small_config(variant)), random_frames(2, 3, 75, 96)
    together = model(frames)
    for clip in range(2):
        alone = model(frames[clip : clip + 1])
        for ours, expected in zip(together[:5], alone[:5], strict=True):
            assert torch.allclose(ours[:, clip : clip + 1], expected, atol=1e-5)
        assert torch.allclose(together.mask_features[clip], alone.mask_features[0], atol=1e-5)


def test_baseline_encodes_a_video_in_windows() -> None:
    """Without attention across frames, windows joined along T give what the whole clip gives."""
    model, frames = small_model(small_config("baseline-")), random_frames(1, 4, 64, 96)
    windows = [model.encode(frames[:, :3]), model.encode(frames[:, 3:])]
    joined = windows[0]._replace(tokens=torch.cat([window.tokens for window in windows], dim=1))
    whole, parts = model(frames), model.decode(joined)
    assert torch.allclose(whole.class_logits, parts.class_logits, atol=1e-5)
    assert torch.allclose(whole.boxes_cxcywh, parts.boxes_cxcywh, atol=1e-5)
    assert torch.allclose(whole.mask_features, parts.mask_features, atol=1e-5)


def test_further_levels_are_made_by_strided_convolutions() -> None:
    model = small_model(replace(small_config(), num_levels=5))
    shapes = [tuple(level.shape[-2:]) for level in model(random_frames(1, 2, 160, 256)).memory]
    assert shapes == [(20, 32), (10, 16), (5, 8), (3, 4), (2, 2)]


def test_every_weight_but_the_frozen_ones_takes_part_in_training() -> None:
    """What the outputs do not depend on would make training on several devices fail."""
    torch.manual_seed(0)
    model = VisModel(small_config()).train()
    output = model(random_frames(1, 2, 64, 96))
    masks = predict_masks(output.mask_features, output.mask_kernels[-1], output.reference_points[-1], [(64, 96)])
    total = masks.square().mean() + sum(field.square().mean() for field in output[:5])
    assert isinstance(total, torch.Tensor)
    total.backward()
    unused = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert unused == []
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    assert frozen
    assert all(name.startswith(("backbone.net.conv1", "backbone.net.bn1", "backbone.net.layer1")) for name in frozen)
