"""The one definition of how pixels become the model's input, for training and inference alike."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

# Mean and standard deviation of ImageNet's RGB channels, in units of full brightness: what backbones are trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FULL_BRIGHTNESS = 255.0


def normalise(pixels: Float[Tensor, "T 3 H W"]) -> Float[Tensor, "T 3 H W"]:
    """Shift and scale RGB pixels of 0..255 by ImageNet's statistics, on the device they are on."""
    mean = pixels.new_tensor(IMAGENET_MEAN)[:, None, None] * FULL_BRIGHTNESS
    std = pixels.new_tensor(IMAGENET_STD)[:, None, None] * FULL_BRIGHTNESS
    return (pixels - mean) / std


def normalise_frames(frames: UInt8[np.ndarray, "T H W 3"]) -> Float[Tensor, "T 3 H W"]:
    """Turn decoded frames into the model's input at their own size."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames))
    return normalise(pixels.permute(0, 3, 1, 2).float())
