"""The adversary of training: looks at frames, encoder features and a foreground mask, and says "true mask?" per patch.

Paper: section 3.4. It exists in training only; no file that is made for inference holds it.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

FINEST_STRIDE = 8
PATCH_CHANNELS = (64, 128, 256, 512, 1)
LEAK = 0.2


class PatchLogits(NamedTuple):
    """One number per patch at stride 32 and per mask that was shown: above 0 for "true", below for "predicted".

    `valid` is False where a patch lies under padding; its logit is 0 and means nothing.
    """

    logits: Float[Tensor, "M K h w"]
    valid: Bool[Tensor, "M h w"]


class Discriminator(nn.Module):
    """Tell true foreground masks from predicted ones, patch by patch.

    Paper: 3.4 gives the inputs (frames, encoder features, a binary mask) and leaves open the network. Ours: frames and
    mask join the encoder's stride-8 features in a 3x3 convolution; maximum pooling and a sum bring in the features at
    stride 16, a second convolution and pooling those at stride 32, and five 3x3 convolutions of stride 1 end in a logit
    per patch, as in pix2pix. Stride 1, so that small clips do not collapse. No normalisation layers, so that a clip's
    logits do not depend on the rest of the batch. Padded positions are emptied before every convolution and pooling:
    a clip gives the same logits whatever it is padded with, and however much.

    Args:
        hidden_dim: C, the channels of the encoder's features.
    """

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        # One channel of the mask comes last, see `_mix_inputs`.
        self.conv8 = nn.Conv2d(hidden_dim + 3 + 1, hidden_dim, 3, padding=1)
        self.conv16 = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1)
        widths = zip((hidden_dim, *PATCH_CHANNELS[:-1]), PATCH_CHANNELS, strict=True)
        self.patch_convs = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in widths)
        # Beside C feature channels the one of the mask would hardly be seen, and the game would not begin for thousands
        # of steps: its weights start at the scale of a convolution that has no other input.
        with torch.no_grad():
            self.conv8.weight[:, -1:] = nn.init.kaiming_uniform_(torch.empty(hidden_dim, 1, 3, 3), a=LEAK)

    def forward(
        self,
        frames: Float[Tensor, "M 3 H W"],
        memory: tuple[Float[Tensor, "M C h8 w8"], Float[Tensor, "M C h16 w16"], Float[Tensor, "M C h32 w32"]],
        masks: Float[Tensor, "M K h8 w8"],
        padding_mask: Bool[Tensor, "M H W"] | None = None,
    ) -> PatchLogits:
        """Judge K masks of each of M frames; each is judged by itself, what they have in common is computed once.

        Args:
            frames: ImageNet-normalised RGB.
            memory: The encoder's output at strides 8, 16 and 32.
            masks: The foreground at stride 8, 0..1.
            padding_mask: True where padded, at the right and at the bottom; None where nothing is.
        """
        stride8, stride16, stride32 = (self._to_weights(level) for level in memory)
        inside = _inside(frames, padding_mask)
        valid8 = F.max_pool2d(inside, FINEST_STRIDE, ceil_mode=True) > 0
        images = _average_inside(self._to_weights(frames), inside.to(stride8.dtype))
        x = self._mix_inputs(_empty(torch.cat((stride8, images), dim=1), valid8), _empty(masks, valid8))
        x, valid = _halve(F.leaky_relu(x, LEAK), valid8)
        x = _empty(x + stride16[:, None], valid)
        x, valid = _halve(F.leaky_relu(_per_frame(self.conv16, x), LEAK), valid)
        x = _empty(x + stride32[:, None], valid)
        for convolution in self.patch_convs[:-1]:
            x = _empty(F.leaky_relu(_per_frame(convolution, x), LEAK), valid)
        logits = _empty(_per_frame(self.patch_convs[-1], x), valid).squeeze(2)
        return PatchLogits(logits, valid.squeeze(1))

    def _to_weights(self, x: Tensor) -> Tensor:
        """Bring an input to the precision of the weights, which may differ from the model's."""
        return x.to(self.conv8.weight.dtype)

    def _mix_inputs(
        self, features: Float[Tensor, "M features h8 w8"], masks: Float[Tensor, "M K h8 w8"]
    ) -> Float[Tensor, "M K C h8 w8"]:
        """The first convolution over features and mask: a sum of two, of which only the mask's differs among K."""
        weight = self.conv8.weight
        common = F.conv2d(features, weight[:, :-1], self.conv8.bias, padding=1)
        single = F.conv2d(self._to_weights(masks).flatten(0, 1)[:, None], weight[:, -1:], padding=1)
        return common[:, None] + single.unflatten(0, masks.shape[:2])


def _inside(frames: Float[Tensor, "M 3 H W"], padding_mask: Bool[Tensor, "M H W"] | None) -> Float[Tensor, "M 1 H W"]:
    """1 where a pixel belongs to the frame, 0 where it is padding."""
    if padding_mask is None:
        return frames.new_ones((len(frames), 1, *frames.shape[-2:]))
    return (~padding_mask[:, None]).to(frames.dtype)


def _average_inside(frames: Float[Tensor, "M 3 H W"], inside: Float[Tensor, "M 1 H W"]) -> Float[Tensor, "M 3 _h8 _w8"]:
    """The mean of a frame's own pixels under each stride-8 position, 0 where there are none."""
    colour = F.avg_pool2d(frames.masked_fill(inside == 0, 0), FINEST_STRIDE, ceil_mode=True)
    share = F.avg_pool2d(inside, FINEST_STRIDE, ceil_mode=True)
    return colour / share.clamp(min=FINEST_STRIDE**-2)


def _halve(
    x: Float[Tensor, "M K C h w"], valid: Bool[Tensor, "M 1 h w"]
) -> tuple[Float[Tensor, "M K C _h _w"], Bool[Tensor, "M 1 _h _w"]]:
    """Maximum over 2 x 2 valid positions; 45 rows give 23, as the backbone's levels have it."""
    lowest = x.masked_fill(~valid[:, :, None], -torch.inf).flatten(0, 1)
    pooled = F.max_pool2d(lowest, 2, ceil_mode=True).unflatten(0, x.shape[:2])
    pooled_valid = F.max_pool2d(valid.float(), 2, ceil_mode=True) > 0
    return _empty(pooled, pooled_valid), pooled_valid


def _per_frame(convolution: nn.Module, x: Float[Tensor, "M K before h w"]) -> Float[Tensor, "M K _after h w"]:
    """Convolve each map of each frame."""
    return convolution(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _empty(x: Float[Tensor, "M *maps h w"], valid: Bool[Tensor, "M 1 h w"]) -> Float[Tensor, "M *maps h w"]:
    """Set padded positions to 0; a fill rather than a product, since the content there may be anything."""
    return x.masked_fill(~(valid if x.ndim == 4 else valid[:, :, None]), 0)
