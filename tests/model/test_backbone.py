"""Feature maps at three strides from several families, what stays frozen, and Swin's windows against its definition."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from random_weights import random_tokens, randomise
from small_models import small_config
from torch import Tensor, nn

from mssts.errors import BadInputError
from mssts.model.backbone import Backbone

SWIN = "swin_tiny_patch4_window7_224"
WINDOW = 7


@pytest.mark.parametrize("name", ["resnet10t", SWIN, "tf_efficientnet_lite0"])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (50, 71)])
def test_backbone_gives_three_strides_of_any_size(name: str, height: int, width: int) -> None:
    backbone = Backbone(replace(small_config(), backbone=name)).eval()
    with torch.no_grad():
        features = backbone(torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0)))
    for x, channels, stride in zip(features, backbone.channels, (8, 16, 32), strict=True):
        assert x.shape == (2, channels, -(-height // stride), -(-width // stride))
        assert torch.isfinite(x).all()


def test_swin_outputs_are_normalised() -> None:
    backbone = Backbone(replace(small_config(), backbone=SWIN)).eval()
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    for x in features:
        assert torch.allclose(x.mean(1), torch.zeros(()), atol=1e-4)
        assert torch.allclose(x.var(1, unbiased=False), torch.ones(()), atol=1e-2)


@pytest.mark.parametrize("name", ["no_such_backbone", "vit_tiny_patch16_224"])
def test_unfit_backbone_is_named(name: str) -> None:
    with pytest.raises(BadInputError, match=name) as caught:
        Backbone(replace(small_config(), backbone=name))
    assert "\n" not in str(caught.value)


def test_frozen_batch_norm_keeps_its_statistics_in_training() -> None:
    backbone = Backbone(replace(small_config(), freeze_batch_norm=True)).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone(5 + torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_free_batch_norm_moves_its_statistics_in_training() -> None:
    backbone = Backbone(replace(small_config(), freeze_batch_norm=False)).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone(5 + torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert any(not torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def shifted_window_attention(attention: nn.Module, x: Tensor, shift: int) -> Tensor:
    """Swin as a detection backbone: pad to whole windows, roll, attend within windows and uncut regions, roll back."""
    height, width, dim = x.shape
    x = F.pad(x, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
    rows, columns = x.shape[:2]
    y, x_place = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    y, x_place = (y.flatten() - shift) % rows, (x_place.flatten() - shift) % columns
    group = torch.stack([y // WINDOW, x_place // WINDOW])
    if shift:
        group = torch.cat([group, torch.stack([y >= rows - shift, x_place >= columns - shift])])
    together = (group[:, :, None] == group[:, None]).all(0)
    offset = [(axis[:, None] - axis[None] + WINDOW - 1) for axis in (y, x_place)]
    table = attention.get_parameter("relative_position_bias_table")
    index = (offset[0] * (2 * WINDOW - 1) + offset[1]).where(together, 0)
    heads = table.shape[1]
    qkv = x.flatten(0, 1) @ attention.get_parameter("qkv.weight").T + attention.get_parameter("qkv.bias")
    query, key, value = qkv.view(-1, 3, heads, dim // heads).permute(1, 2, 0, 3)
    scores = query @ key.mT / (dim // heads) ** 0.5 + table[index].permute(2, 0, 1)
    attended = scores.masked_fill(~together, float("-inf")).softmax(-1) @ value
    joined = attended.transpose(0, 1).reshape(rows, columns, dim)
    joined = joined @ attention.get_parameter("proj.weight").T + attention.get_parameter("proj.bias")
    return joined[:height, :width]


@pytest.mark.parametrize(
    ("stage", "block", "height", "width"),
    [
        (0, 0, 14, 21),
        (0, 1, 14, 21),
        (0, 0, 9, 12),
        (0, 1, 9, 12),
        (3, 1, 14, 21),
    ],
)
def test_swin_windows_are_those_of_the_detection_backbone(stage: int, block: int, height: int, width: int) -> None:
    net = Backbone(replace(small_config(), backbone=SWIN)).net
    swin_block = randomise(net.get_submodule(f"layers_{stage}.blocks.{block}")).double()
    norm1, norm2, mlp = (swin_block.get_submodule(name) for name in ("norm1", "norm2", "mlp"))
    x = random_tokens(height, width, 96 * 2**stage)
    shift = WINDOW // 2 if block % 2 else 0
    y = x + shifted_window_attention(swin_block.get_submodule("attn"), norm1(x), shift)
    assert torch.allclose(swin_block(x[None])[0], y + mlp(norm2(y)), atol=1e-6)
