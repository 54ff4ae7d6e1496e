"""Fixed sine encodings of where a feature is (in the frame) and when (in the clip)."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

TEMPERATURE = 10000.0
EPSILON = 1e-6


def _sine(coordinate: Float[Tensor, "..."], dim: int) -> Float[Tensor, "... dim"]:
    """Encode a coordinate in `dim` features: sine on even indices, cosine on odd ones, wavelengths growing."""
    index = torch.arange(dim, dtype=torch.float32, device=coordinate.device)
    wavelength = TEMPERATURE ** (2 * torch.div(index, 2, rounding_mode="floor") / dim)
    angle = coordinate[..., None] / wavelength
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=-1).flatten(-2)


def frame_position(padding_mask: Bool[Tensor, "B H W"], dim: int) -> Float[Tensor, "B H W dim"]:
    """Encode each pixel's place in the unpadded frame, y in the first half of the features, x in the second.

    Coordinates count unpadded pixels (centres at half), normalised so that the unpadded frame spans 2 pi.
    """
    valid = (~padding_mask).float()
    y = valid.cumsum(1)
    x = valid.cumsum(2)
    y = (y - 0.5) / (y[:, -1:, :] + EPSILON) * (2 * math.pi)
    x = (x - 0.5) / (x[:, :, -1:] + EPSILON) * (2 * math.pi)
    return torch.cat((_sine(y, dim // 2), _sine(x, dim // 2)), dim=-1)


def time_position(num_frames: int, dim: int, device: torch.device) -> Float[Tensor, "T dim"]:
    """Encode the index of each frame in its clip.

    Paper: gives none; without it temporal attention ignores the order of frames.
    """
    return _sine(torch.arange(num_frames, dtype=torch.float32, device=device), dim)
