"""From decoded frames to the model's input: resize the short side, normalise."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mssts.data.normalise import normalise
from mssts.errors import BadInputError
from mssts.types import Frame

MAX_PIXELS = 8192 * 8192


def network_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width in pixels with the shorter side at `short_side` and the shape kept.

    Paper's baseline: short side 360 without a limit on the long side.

    Raises:
        BadInputError: The frame would be larger than any model can take.
    """
    scale = short_side / min(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if size[0] * size[1] > MAX_PIXELS:
        raise BadInputError(f"frames of {width}x{height} would be {size[1]}x{size[0]} for the model: too large")
    return size


def to_clip(frames: Sequence[Frame], short_side: int, device: torch.device) -> Float[Tensor, "1 T 3 h w"]:
    """Resize (antialiased bilinear) and normalise frames of one size into a clip for the model."""
    resized = []
    for frame in frames:
        height, width, _ = frame.image.shape
        pixels = torch.from_numpy(frame.image).to(device).permute(2, 0, 1)[None].float()
        size = network_size(height, width, short_side)
        resized.append(F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False))
    return normalise(torch.cat(resized))[None]
