"""What lies under the padding mask never reaches what a clip's own pixels and queries give."""

import pytest
import torch
from small_models import random_frames, right_and_bottom_mask, small_config, small_model
from torch import Tensor

from mssts.model.pyramid import Pyramid, resize_mask, valid_ratio
from mssts.model.vis import VisModel
from mssts.types import Prediction

HEIGHT, WIDTH = 96, 128
SIZES = [(64, 128), (96, 72)]


def encode_with_garbage(model: VisModel, seed: int) -> Pyramid:
    """The encoder's output when the tokens under the padding are random numbers instead of features of zeros."""

    def spoil(_: object, args: tuple[Pyramid, Tensor, Tensor | None]) -> tuple[Pyramid, Tensor, Tensor | None]:
        pyramid, position, ms_sts_position = args
        assert pyramid.padding_mask is not None
        garbage = 100 * torch.randn(pyramid.tokens.shape, generator=torch.Generator().manual_seed(seed))
        tokens = pyramid.tokens.where(~pyramid.padding_mask[:, None, :, None], garbage)
        return pyramid._replace(tokens=tokens), position, ms_sts_position

    handle = model.encoder.register_forward_pre_hook(spoil)
    try:
        mask = right_and_bottom_mask(SIZES, HEIGHT, WIDTH)
        return model.encode(random_frames(2, 2, HEIGHT, WIDTH), mask)
    finally:
        handle.remove()


@pytest.mark.parametrize("variant", ["baseline-", "ms-sts-", "t-dec-", ""])
def test_padding_reaches_neither_memory_nor_queries(variant: str) -> None:
    model = small_model(small_config(variant))
    first, second = encode_with_garbage(model, seed=1), encode_with_garbage(model, seed=2)
    assert first.padding_mask is not None
    valid = ~first.padding_mask[:, None].expand(-1, 2, -1)
    assert valid.any()
    assert not valid.all()
    assert torch.allclose(first.tokens[valid], second.tokens[valid], atol=1e-5)
    assert not torch.allclose(first.tokens[~valid], second.tokens[~valid], atol=1e-2)
    _assert_same_queries(model.decode(first), model.decode(second))


def _assert_same_queries(first: Prediction, second: Prediction) -> None:
    for name in ("class_logits", "boxes_cxcywh", "reference_points", "mask_kernels", "embeddings"):
        assert torch.allclose(getattr(first, name), getattr(second, name), atol=1e-5), name


def test_padding_mask_without_padding_changes_nothing() -> None:
    model, frames = small_model(), random_frames(2, 2, 64, 96)
    with_mask, without = model(frames, torch.zeros(2, 64, 96, dtype=torch.bool)), model(frames)
    _assert_same_queries(with_mask, without)
    assert torch.allclose(with_mask.mask_features, without.mask_features, atol=1e-5)


def test_padding_of_one_clip_leaves_the_other_alone() -> None:
    model, frames = small_model(), random_frames(2, 2, 96, 128)
    padded = model(frames, right_and_bottom_mask([(96, 128), (64, 72)], 96, 128))
    alone = model(frames[:1])
    assert torch.allclose(padded.class_logits[:, :1], alone.class_logits, atol=1e-5)
    assert torch.allclose(padded.boxes_cxcywh[:, :1], alone.boxes_cxcywh, atol=1e-5)
    assert torch.allclose(padded.mask_features[:1], alone.mask_features, atol=1e-4)


def test_padding_mask_is_resized_to_the_nearest_pixel() -> None:
    mask = right_and_bottom_mask([(7, 10)], 12, 15)
    ours = resize_mask(mask, (5, 4))
    for row in range(5):
        for column in range(4):
            assert ours[0, row, column] == mask[0, row * 12 // 5, column * 15 // 4]


def test_valid_ratio_is_the_unpadded_share_of_width_and_height() -> None:
    ratios = valid_ratio(right_and_bottom_mask([(3, 10), (12, 20)], 12, 20))
    assert torch.allclose(ratios, torch.tensor([[0.5, 0.25], [1.0, 1.0]]))
