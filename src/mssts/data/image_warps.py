"""Random warps that turn an image into frames of a pseudo-video: camera motion, light, motion blur."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional

from mssts.data.photometric import Distortion, distort

PERSPECTIVE = 0.08
"""Standard deviation of how far a corner of what the camera sees lies inside the image, as a share of its sides."""
MAX_ROTATION = 20.0
"""Degrees."""
MAX_TRANSLATION = 0.1
"""Share of width and height."""
MAX_BRIGHTNESS = 40.0
"""Added to or taken from pixels of 0..255."""
MAX_COLOUR = 5.0
"""Added to or taken from hue and saturation, whose full range is 255."""
BLUR_PROBABILITY = 0.25
BLUR_KERNELS = (9, 11)
"""Pixels."""
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


class Warp(NamedTuple):
    """How a frame of a pseudo-video comes from the image.

    `coefficients` are those of the homography that leads from a place (x, y in pixels) in the frame to one in the
    image: its matrix row by row, the last element being 1.
    """

    coefficients: tuple[float, ...]
    colours: Distortion
    blur: Float[np.ndarray, "side side"] | None

    def apply_to_image(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """Change colours, move (black comes in from beyond the border), blur."""
        planes = torch.from_numpy(distort(image, self.colours)).permute(2, 0, 1)
        planes = _move(planes, self.coefficients, functional.InterpolationMode.BILINEAR)
        if self.blur is not None:
            planes = _convolve(planes, torch.from_numpy(self.blur))
        return planes.permute(1, 2, 0).numpy()

    def apply_to_masks(self, masks: Bool[np.ndarray, "K H W"]) -> Bool[np.ndarray, "K H W"]:
        """Move; the nearest pixel counts."""
        planes = torch.from_numpy(masks).view(torch.uint8)
        return _move(planes, self.coefficients, functional.InterpolationMode.NEAREST).view(torch.bool).numpy()


def draw_warp(height: int, width: int, random: np.random.Generator) -> Warp:
    """Draw a warp of an image of a size in pixels."""
    size = np.array([width, height])
    insets = np.abs(random.normal(0, PERSPECTIVE, (4, 2))).clip(max=0.4)
    seen = (_CORNERS + insets * (1 - 2 * _CORNERS)) * size
    angle = np.radians(random.uniform(-MAX_ROTATION, MAX_ROTATION))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = random.uniform(-MAX_TRANSLATION, MAX_TRANSLATION, 2) * size
    shown = (_CORNERS - 0.5) * size @ turn.T + size / 2 + shift
    colours = Distortion(
        brightness=random.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS),
        hue=random.uniform(-MAX_COLOUR, MAX_COLOUR) / 255 * 360,
        saturation_shift=random.uniform(-MAX_COLOUR, MAX_COLOUR) / 255,
    )
    blur = _draw_blur(random) if random.random() < BLUR_PROBABILITY else None
    return Warp(homography(shown, seen), colours, blur)


def homography(source: Float[np.ndarray, "4 2"], target: Float[np.ndarray, "4 2"]) -> tuple[float, ...]:
    """The first eight elements of the homography that maps four points onto four others; the ninth is 1."""
    equations = np.zeros((8, 8))
    for row, ((x, y), (u, v)) in enumerate(zip(source, target, strict=True)):
        equations[2 * row] = (x, y, 1, 0, 0, 0, -x * u, -y * u)
        equations[2 * row + 1] = (0, 0, 0, x, y, 1, -x * v, -y * v)
    return tuple(np.linalg.solve(equations, target.reshape(-1)).tolist())


def _draw_blur(random: np.random.Generator) -> Float[np.ndarray, "side side"]:
    """The kernel of a motion along a line of random direction, as long as the kernel is wide."""
    side = int(random.choice(BLUR_KERNELS))
    angle = random.uniform(0, np.pi)
    along = np.linspace(-(side - 1) / 2, (side - 1) / 2, 4 * side)
    kernel = np.zeros((side, side), dtype=np.float32)
    columns, rows = (np.rint(along * part + (side - 1) / 2).astype(int) for part in (np.cos(angle), np.sin(angle)))
    np.add.at(kernel, (rows, columns), 1 / len(along))
    return kernel


def _move(
    planes: UInt8[Tensor, "C H W"], coefficients: tuple[float, ...], interpolation: functional.InterpolationMode
) -> UInt8[Tensor, "C H W"]:
    return functional.perspective(
        planes, None, None, interpolation=interpolation, fill=[0.0], coefficients=list(coefficients)
    )


def _convolve(planes: UInt8[Tensor, "3 H W"], kernel: Float[Tensor, "side side"]) -> UInt8[Tensor, "3 H W"]:
    margin = kernel.shape[0] // 2
    padded = F.pad(planes[:, None].float(), (margin,) * 4, mode="replicate")
    return F.conv2d(padded, kernel[None, None])[:, 0].round().clamp(0, 255).byte()
