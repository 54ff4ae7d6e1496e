"""From decoded pixels to RGB as displayed: transparency and orientation."""

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image


def over_white(image: Image.Image) -> Image.Image:
    """The image in RGB, its transparent parts laid over white as picture viewers show them."""
    layer = image.convert("RGBA")
    page = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(page, layer).convert("RGB")


def orient(image: UInt8[np.ndarray, "H W 3"], matrix: Integer[np.ndarray, "3 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Turn and mirror an image as a container's display matrix demands, to the nearest of the eight orientations.

    The matrix maps a stored point to a displayed one by `(x, y, 1) @ matrix`; only its upper left 2 x 2 part counts.
    """
    (a, b), (c, d) = matrix[:2, :2].tolist()
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        x_scale, y_scale = a, d
    else:
        image, x_scale, y_scale = image.swapaxes(0, 1), c, b
    if x_scale < 0:
        image = image[:, ::-1]
    if y_scale < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
