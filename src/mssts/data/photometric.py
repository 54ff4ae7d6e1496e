"""Photometric distortion: the chain of random colour changes that SSD introduced, the same for all frames of a clip.

Its steps (Liu et al., ECCV 2016) are brightness, contrast, saturation and hue in HSV, and an exchange of channels, each
with probability 1/2, and nothing is rounded or clipped between them. The chain tosses a coin whether contrast comes
before or after the HSV steps. It only scales the pixels and the HSV steps commute with that, so the coin is left out.
Saturation is that of HSV, which torchvision's is not, so the arithmetic is here.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

MAX_BRIGHTNESS = 32.0
"""Added to or taken from pixels of 0..255."""
FACTORS = (0.5, 1.5)
"""Least and largest contrast and saturation."""
MAX_HUE = 18.0
"""Degrees of the colour circle."""
_TILE = 1 << 15
"""Pixels that are worked on at a time: few enough for all intermediate numbers to stay in the processor's cache."""


class Distortion(NamedTuple):
    """What the chain does to a clip; the defaults change nothing.

    `brightness` is added to pixels of 0..255, `hue` is in degrees, `saturation_shift` is added to saturations of 0..1
    (no part of the chain, COCO's warps use it), `channels` tells where each channel is taken from.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    saturation_shift: float = 0.0
    channels: tuple[int, int, int] = (0, 1, 2)


def draw_distortion(random: np.random.Generator) -> Distortion:
    """Draw each step of the chain with probability 1/2."""
    brightens, contrasts, saturates, turns, swaps = random.random(5) < 0.5
    red, green, blue = random.permutation(3).tolist()
    return Distortion(
        brightness=random.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS) if brightens else 0.0,
        contrast=random.uniform(*FACTORS) if contrasts else 1.0,
        saturation=random.uniform(*FACTORS) if saturates else 1.0,
        hue=random.uniform(-MAX_HUE, MAX_HUE) if turns else 0.0,
        channels=(red, green, blue) if swaps else (0, 1, 2),
    )


def distort(image: UInt8[np.ndarray, "H W 3"], distortion: Distortion) -> UInt8[np.ndarray, "H W 3"]:
    """Apply the chain to a frame, and round and clip its outcome to pixel values."""
    result = np.empty_like(image)
    if distortion.saturation == 1 and distortion.hue == distortion.saturation_shift == 0:
        # Every pixel value has one outcome.
        table = (np.arange(256) + distortion.brightness) * distortion.contrast
        values = np.take(np.clip(np.rint(table), 0, 255).astype(np.uint8), image)
        for target, source in enumerate(distortion.channels):
            result[..., target] = values[..., source]
        return result
    pixels, out = (torch.from_numpy(array).view(-1, 3) for array in (image, result))
    for source, target in zip(pixels.split(_TILE), out.split(_TILE), strict=True):
        target.copy_(_distort_planes(source.T.contiguous().float(), distortion).T)
    return result


def _distort_planes(planes: Float[Tensor, "3 pixels"], distortion: Distortion) -> Float[Tensor, "3 pixels"]:
    """The chain on separate colour planes; values end as whole numbers of 0..255."""
    planes = planes.add_(distortion.brightness).mul_(distortion.contrast)
    highest = planes.amax(dim=0)
    if distortion.hue or distortion.saturation_shift:
        planes = _turn_hue(planes, highest, distortion)
    else:
        planes = torch.lerp(highest, planes, distortion.saturation)
    return planes[list(distortion.channels)].round_().clamp_(0, 255)


def _turn_hue(
    planes: Float[Tensor, "3 pixels"], highest: Float[Tensor, " pixels"], distortion: Distortion
) -> Float[Tensor, "3 pixels"]:
    """Change hue and saturation; hue is counted in sixths of the circle, from red over green (2) to blue (4)."""
    red, green, blue = planes
    chroma = highest - planes.amin(dim=0)
    share = 1 / chroma.clamp(min=1e-6)  # grey has no hue; whatever comes out is multiplied by its chroma, 0
    hue = torch.where(green == highest, (blue - red).mul_(share).add_(2), (red - green).mul_(share).add_(4))
    hue = torch.where(red == highest, (green - blue).mul_(share), hue)
    hue = hue.add_(distortion.hue / 60).remainder_(6)
    chroma = chroma.mul_(distortion.saturation).add_(highest, alpha=distortion.saturation_shift).clamp_(min=0)
    ramps = torch.stack([(hue - 3).abs_().sub_(1), 2 - (hue - 2).abs_(), 2 - (hue - 4).abs_()])
    return ramps.clamp_(0, 1).mul_(chroma).add_(highest - chroma)
