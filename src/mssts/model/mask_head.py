"""Masks from instance queries: shared mask features, computed once, and a small dynamic network per instance.

SeqFormer's segmentation head (paper: section 2). `predict_masks` has no weights, so the criterion calls it for matched
queries and inference for the kept ones.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mssts.model.precision import at_least_float32, in_full_precision

FEATURE_DIM = 8
STRIDE = 8
# Three 1x1 convolutions: features and relative x, y -> 8 -> 8 -> 1; all weights first, then all biases.
WEIGHT_SHAPES = ((FEATURE_DIM, FEATURE_DIM + 2), (FEATURE_DIM, FEATURE_DIM), (1, FEATURE_DIM))
NUM_KERNEL_PARAMETERS = sum(rows * columns + rows for rows, columns in WEIGHT_SHAPES)


class MaskFeatureHead(nn.Module):
    """Merge the encoder's levels at strides 32, 16 and 8 into 8 mask features at stride 8."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv32 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv16 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv8 = nn.Conv2d(dim, dim, 3, padding=1)
        self.reduce = nn.Conv2d(dim, dim // 4, 3, padding=1)
        self.output = nn.Conv2d(dim // 4, FEATURE_DIM, 3, padding=1)
        for convolution in self.children():
            assert isinstance(convolution, nn.Conv2d)
            nn.init.kaiming_uniform_(convolution.weight, a=1)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)

    def forward(
        self,
        stride8: Float[Tensor, "M C h8 w8"],
        stride16: Float[Tensor, "M C h16 w16"],
        stride32: Float[Tensor, "M C h32 w32"],
    ) -> Float[Tensor, "M c h8 w8"]:
        """Compute the mask features of M frames."""
        x = self.conv32(stride32).relu_()
        x = stride16 + F.interpolate(x, size=stride16.shape[-2:], mode="nearest")
        x = self.conv16(x).relu_()
        x = stride8 + F.interpolate(x, size=stride8.shape[-2:], mode="nearest")
        x = self.conv8(x).relu_()
        return self.output(self.reduce(x).relu_()).relu_()


def predict_masks(
    mask_features: Float[Tensor, "B T c h w"],
    mask_kernels: Float[Tensor, "B K parameters"],
    reference_points: Float[Tensor, "B T K 2"],
    image_sizes: Sequence[tuple[int, int]],
) -> Float[Tensor, "B K T 2*h 2*w"]:
    """Run each instance's dynamic network over the mask features of its clip.

    The first layer also sees the offset from each pixel to the instance's reference point, in input pixels. Its part
    is linear in the pixel and in the point, so it is computed once per clip and once per instance, not per pair.

    Args:
        mask_features: `Prediction.mask_features`.
        mask_kernels: The chosen instances' kernels of one decoder layer.
        reference_points: Their normalised reference points of the same layer.
        image_sizes: Unpadded height and width in pixels of each clip.

    Returns:
        Mask logits at stride 4.
    """
    with in_full_precision(mask_features.device):
        # Pixels are counted to some hundreds, which bfloat16 rounds to multiples of 4.
        return _predict_masks(
            at_least_float32(mask_features),
            at_least_float32(mask_kernels),
            at_least_float32(reference_points),
            image_sizes,
        )


def _predict_masks(
    mask_features: Float[Tensor, "B T c h w"],
    mask_kernels: Float[Tensor, "B K parameters"],
    reference_points: Float[Tensor, "B T K 2"],
    image_sizes: Sequence[tuple[int, int]],
) -> Float[Tensor, "B K T 2*h 2*w"]:
    batch, num_frames, _, height, width = mask_features.shape
    num_instances = mask_kernels.shape[1]
    (weight1, weight2, weight3), (bias1, bias2, bias3) = _split_kernels(mask_kernels)
    size = reference_points.new_tensor([(w, h) for h, w in image_sizes])
    points = (reference_points * size[:, None, None]).transpose(1, 2)
    coordinates = _pixel_centres(height, width, mask_features)

    weight_xy, weight_features = weight1.split((2, FEATURE_DIM), dim=-1)
    offset = torch.einsum("bkoc,bktc->bkto", weight_xy, points) + bias1[:, :, None]
    hidden = torch.einsum("bkoc,btcs->bktos", weight_features, mask_features.flatten(3))
    hidden = hidden - torch.einsum("bkoc,cs->bkos", weight_xy, coordinates)[:, :, None] + offset[..., None]
    hidden = (weight2[:, :, None] @ hidden.relu_() + bias2[:, :, None, :, None]).relu_()
    logits = weight3[:, :, None] @ hidden + bias3[:, :, None, :, None]
    masks = upsample_aligned(logits.reshape(-1, 1, height, width))
    return masks.view(batch, num_instances, num_frames, 2 * height, 2 * width)


def _split_kernels(
    kernels: Float[Tensor, "B K parameters"],
) -> tuple[list[Float[Tensor, "B K _rows _columns"]], list[Float[Tensor, "B K _rows"]]]:
    """Cut the controller's output into the weights and biases of the three layers."""
    weight_sizes = [rows * columns for rows, columns in WEIGHT_SHAPES]
    bias_sizes = [rows for rows, _ in WEIGHT_SHAPES]
    parts = kernels.split(weight_sizes + bias_sizes, dim=-1)
    weights = [part.unflatten(-1, shape) for part, shape in zip(parts, WEIGHT_SHAPES, strict=False)]
    return weights, list(parts[len(WEIGHT_SHAPES) :])


def _pixel_centres(height: int, width: int, like: Tensor) -> Float[Tensor, "2 _"]:
    """The input pixel (x, y) at the centre of each mask feature."""
    y = torch.arange(height, device=like.device, dtype=like.dtype) * STRIDE + STRIDE // 2
    x = torch.arange(width, device=like.device, dtype=like.dtype) * STRIDE + STRIDE // 2
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1]).flatten(1)


def upsample_aligned(logits: Float[Tensor, "M 1 h w"]) -> Float[Tensor, "M 1 2*h 2*w"]:
    """Double the size so that output pixel 2i + 1 lies on input pixel i, as the official masks are aligned."""
    height, width = logits.shape[-2:]
    padded = F.pad(logits, (0, 1, 0, 1), mode="replicate")
    grown = F.interpolate(padded, size=(2 * height + 1, 2 * width + 1), mode="bilinear", align_corners=True)
    return F.pad(grown, (1, 0, 1, 0), mode="replicate")[..., : 2 * height, : 2 * width]
