"""Image features at strides 8, 16 and 32 from any timm backbone.

Paper: section 4.1 (ResNet-50, ResNet-101, Swin-L; conv3 to conv5).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.norm_act import freeze_batch_norm_2d
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from mssts.config import ModelConfig
from mssts.errors import BadInputError, ResourceError

STRIDES = (8, 16, 32)
# What the official code keeps at its ImageNet values: everything before stride 8 of a ResNet.
FROZEN_PREFIXES = ("conv1.", "bn1.", "layer1.")


class Backbone(nn.Module):
    """A timm feature extractor with names and behaviour independent of the family.

    Attributes:
        channels: Channels of the three feature maps.
    """

    def __init__(self, config: ModelConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.net = _create(config.backbone, pretrained)
        self.channels: list[int] = _feature_info(self.net).channels()
        self.channels_last = str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC")
        is_swin = config.backbone.startswith("swin")
        self.multiple = 4 if is_swin else 1
        if is_swin:
            _pad_before_shift(self.net)
        # As a detection backbone, Swin normalises each of its outputs; timm's feature extractor leaves that out.
        self.output_norms = nn.ModuleList(nn.LayerNorm(channel) for channel in self.channels if is_swin)
        if config.freeze_batch_norm:
            self.net = freeze_batch_norm_2d(self.net)
            _fold_batch_norm(self.net)
            for name, parameter in self.net.named_parameters():
                if name.startswith(FROZEN_PREFIXES):
                    parameter.requires_grad_(False)

    def forward(self, frames: Float[Tensor, "M 3 H W"]) -> list[Float[Tensor, "M _c _h _w"]]:
        """Compute the three feature maps of M frames, of size ceil(H / stride) each."""
        height, width = frames.shape[-2:]
        if height % self.multiple or width % self.multiple:
            frames = F.pad(frames, (0, -width % self.multiple, 0, -height % self.multiple))
        # Channels last is what convolutions are fastest with, and what the encoder's tokens are.
        features = self.net(frames.contiguous(memory_format=torch.channels_last))
        if self.output_norms:
            features = [norm(x) for norm, x in zip(self.output_norms, features, strict=True)]
        return [x.permute(0, 3, 1, 2) for x in features] if self.channels_last else features


def _fold_batch_norm(net: nn.Module) -> None:
    """Let convolutions apply the frozen BatchNorm behind them, which spares two passes over the features.

    Weights keep their names and values; they are scaled as they are used, so gradients stay right too.
    """
    convolution = None
    for module in net.modules():
        if type(module) is nn.Conv2d:
            convolution = module
        elif isinstance(module, FrozenBatchNorm2d) and convolution is not None:
            convolution.forward = partial(_convolve_normalised, convolution, module)  # pyright: ignore[reportAttributeAccessIssue]
            module.forward = _pass_on
            convolution = None


def _convolve_normalised(
    convolution: nn.Conv2d, norm: FrozenBatchNorm2d, x: Float[Tensor, "M c H W"]
) -> Float[Tensor, "M C _h _w"]:
    """A convolution without bias, and the frozen BatchNorm behind it, in one."""
    gain, shift, mean, variance = (norm.get_buffer(n) for n in ("weight", "bias", "running_mean", "running_var"))
    scale = gain * (variance + norm.eps).rsqrt()
    weight = (convolution.weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    bias = shift - mean * scale
    return F.conv2d(x, weight, bias, convolution.stride, convolution.padding, convolution.dilation, convolution.groups)


def _pass_on(x: Tensor) -> Tensor:
    return x


def _pad_before_shift(net: nn.Module) -> None:
    """Let Swin's blocks pad a map to whole windows before they shift it, as detection backbones do; timm pads after."""
    for block in net.modules():
        if isinstance(block, SwinTransformerBlock):
            block._attn = partial(_attend_padded, block._attn, block.window_size)


def _attend_padded(
    attend: Callable[[Tensor], Tensor], window: tuple[int, int], x: Float[Tensor, "M H W C"]
) -> Float[Tensor, "M H W C"]:
    """Window attention of a map padded to whole windows, cut to the map's size."""
    height, width = x.shape[1:3]
    padded = F.pad(x, (0, 0, 0, -width % window[1], 0, -height % window[0]))
    return attend(padded)[:, :height, :width]


def _feature_info(net: nn.Module) -> Any:
    """Timm's description of a feature extractor's outputs, which its types do not tell."""
    return net.feature_info


def _create(name: str, pretrained: bool) -> nn.Module:
    """Build the timm model that returns the three strides.

    Raises:
        BadInputError: timm does not know the name, or the model has no features at strides 8, 16 and 32.
        ResourceError: The weights cannot be fetched.
    """
    # Without `always_partition`, timm drops the shift where the map of its nominal image size is one window.
    is_swin = name.startswith("swin")
    options: dict[str, Any] = {"strict_img_size": False, "always_partition": True} if is_swin else {}
    try:
        # On the meta device, the model that only tells its strides costs neither memory nor time.
        with torch.device("meta"):
            probe = timm.create_model(name, features_only=True, pretrained=False, **options)
        reductions = _feature_info(probe).reduction()
        indices = tuple(len(reductions) - 1 - reductions[::-1].index(stride) for stride in STRIDES)
    except (RuntimeError, ValueError) as error:
        raise BadInputError(
            f"backbone '{name}': not a timm model with features at strides 8, 16, 32 ({error})"
        ) from error
    try:
        return timm.create_model(name, features_only=True, pretrained=pretrained, out_indices=indices, **options)
    except Exception as error:
        if not pretrained:
            raise
        # Whatever it is called: the libraries below agree on no class for a hub that cannot be reached.
        raise ResourceError(
            f"backbone '{name}': its weights cannot be fetched ({type(error).__name__}); a training can start from a "
            "model with --init FILE, or without weights with --backbone_weights none"
        ) from error
