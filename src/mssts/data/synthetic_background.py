"""The backgrounds of synthetic videos: noise at several scales and textured clutter, seen by a moving camera."""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter

from mssts.data.synthetic_shapes import TEXTURES, texture, two_colours

# How far the camera can move, in units of the frame's shorter side, and its fastest movement per frame.
PAN_RANGE = 0.2
PAN_SPEED = 0.012


class Background:
    """A still picture larger than the frame, of which every frame sees another part.

    Args:
        random: Where the choices come from.
        height: Of the frame, in pixels.
        width: Of the frame, in pixels.
        difficulty: From 0 (calm) to 1 (strong contrasts, much clutter, a faster camera).
    """

    def __init__(self, random: np.random.Generator, height: int, width: int, difficulty: float) -> None:
        side = min(height, width)
        self.height, self.width, self.range = height, width, int(PAN_RANGE * side)
        self._picture = _paint(random, height + self.range + 1, width + self.range + 1, difficulty)
        self._start = random.uniform(0, self.range, 2)
        self._velocity = random.uniform(-1, 1, 2) * side * PAN_SPEED * (0.2 + 0.8 * difficulty)

    def view(self, frame: int) -> Float[np.ndarray, "H W 3"]:
        """What the camera sees in a frame, in 0..255; positions between pixels are interpolated."""
        phase = (self._start + self._velocity * frame) % (2 * self.range)
        y, x = np.minimum(phase, 2 * self.range - phase)
        row, column = int(y), int(x)
        window = self._picture[row : row + self.height + 1, column : column + self.width + 1]
        mixed = window[:-1] + np.float32(y - row) * (window[1:] - window[:-1])
        return mixed[:, :-1] + np.float32(x - column) * (mixed[:, 1:] - mixed[:, :-1])


def _paint(random: np.random.Generator, height: int, width: int, difficulty: float) -> Float[np.ndarray, "h w 3"]:
    """Lay smooth noise of three scales over a flat colour, and textured patches over that."""
    canvas = np.broadcast_to(random.uniform(60, 190, 3).astype(np.float32), (height, width, 3)).copy()
    rough = 0.3 + difficulty
    for cells, strength in ((3, 40.0), (9, 30.0 * rough), (30, 22.0 * rough)):
        canvas += np.float32(strength) * _smooth_noise(random, height, width, cells)
    for _ in range(round(6 * difficulty)):
        _add_clutter(random, canvas)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    # A lens blurs the clutter's edges as much as `synthetic` blurs those of the objects.
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float32)


def _smooth_noise(random: np.random.Generator, height: int, width: int, cells: int) -> Float[np.ndarray, "h w 3"]:
    """Noise in -1..1 that varies over 1 / cells of the height, per channel."""
    coarse = random.integers(0, 256, (cells + 1, round(cells * width / height) + 1, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32) / np.float32(127.5) - 1


def _add_clutter(random: np.random.Generator, canvas: Float[np.ndarray, "h w 3"]) -> None:
    """Paint irregular patches with a texture like an object's, so that texture alone does not make an object."""
    height, width, _ = canvas.shape
    coarse = random.random((8, round(7 * width / height) + 1), dtype=np.float32)
    field = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    # Every 16th pixel is enough to know the share that the patches take.
    level = np.quantile(field[::4, ::4], random.uniform(0.93, 0.98))
    rows, columns = np.nonzero(field > level)
    angle, period = random.uniform(0, 2 * np.pi), random.uniform(0.047, 0.094) * min(height, width)
    cos, sin = np.float32(np.cos(angle) / period), np.float32(np.sin(angle) / period)
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    share = texture(TEXTURES[random.integers(len(TEXTURES))], x * cos + y * sin, y * cos - x * sin, 1.0)[:, None]
    first, second = two_colours(random)
    canvas[rows, columns] = second + (first - second) * share
