"""From decoded frames to the model's input: resize the short side, normalise."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mssts.data.normalise import normalise
from mssts.types import Frame


def network_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width in pixels with the shorter side at `short_side` and the shape kept.

    Paper's baseline: short side 360 without a limit on the long side.
    """
    scale = short_side / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_clip(frames: Sequence[Frame], short_side: int, device: torch.device) -> Float[Tensor, "1 T 3 h w"]:
    """Resize (antialiased bilinear) and normalise frames of one size into a clip for the model."""
    resized = []
    for frame in frames:
        height, width, _ = frame.image.shape
        pixels = torch.from_numpy(frame.image).to(device).permute(2, 0, 1)[None].float()
        size = network_size(height, width, short_side)
        resized.append(F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False))
    return normalise(torch.cat(resized))[None]
