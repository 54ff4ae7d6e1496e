"""bfloat16 against float32: the same objects, to the digits that bfloat16 has."""

import numpy as np
import pytest
import torch

from mssts.api import load
from mssts.assets import asset_path
from mssts.model.mask_head import FEATURE_DIM, NUM_KERNEL_PARAMETERS, predict_masks
from mssts.model.precision import computing_in

CPU = torch.device("cpu")


@pytest.mark.parametrize("mode", ["near-online", "offline"])
def test_bf16_finds_the_same_objects(mode):
    segmenter = load("tiny", "cpu")
    found = {}
    for precision in ("fp32", "bf16"):
        found[precision] = list(segmenter.predict(asset_path("demo.mp4"), mode=mode, stream=True, precision=precision))
    overlaps = []
    for full, half in zip(found["fp32"], found["bf16"], strict=True):
        # By class and place: scores that are nearly alike may change their order.
        ours, theirs = (np.lexsort((result.boxes[:, 0], result.labels)) for result in (half, full))
        assert half.labels[ours].tolist() == full.labels[theirs].tolist()
        assert half.scores[ours] == pytest.approx(full.scores[theirs], abs=0.05)
        pairs = zip(half.masks[ours], full.masks[theirs], strict=True)
        overlaps += [(one & other).sum() / (one | other).sum() for one, other in pairs]
    assert np.mean(overlaps) > 0.9
    assert min(overlaps) > 0.7
    scores = [np.concatenate([result.scores for result in found[name]]) for name in found]
    assert not np.array_equal(*scores), "bf16 did nothing"


def test_masks_are_made_in_float32_wherever_they_are_asked_for():
    torch.manual_seed(0)
    features = torch.randn(1, 2, FEATURE_DIM, 45, 80)
    kernels, points = torch.randn(1, 3, NUM_KERNEL_PARAMETERS) * 0.1, torch.rand(1, 2, 3, 2)
    expected = predict_masks(features, kernels, points, [(360, 640)])
    with computing_in("bf16", CPU):
        assert torch.equal(predict_masks(features, kernels, points, [(360, 640)]), expected)
    rounded = predict_masks(features.bfloat16(), kernels, points, [(360, 640)])
    assert rounded.dtype == torch.float32


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision 'fp8' is none of fp32, bf16"):
        load("tiny", "cpu").predict(asset_path("demo.mp4"), precision="fp8")
