"""Reads the pictures of training sets."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mssts.errors import BadInputError


def read_picture(path: Path, height: int, width: int) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Decode a picture to RGB.

    Args:
        path: Of the file.
        height: That the annotations give it, in pixels.
        width: Likewise.

    Raises:
        BadInputError: The file is missing or damaged, or has another size.
    """
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file") from error
    except Exception as error:  # Pillow's readers raise whatever comes up in damaged files
        raise BadInputError(f"{path}: cannot be read ({error})") from error
    if pixels.shape[:2] != (height, width):
        found = f"{pixels.shape[0]} x {pixels.shape[1]}"
        raise BadInputError(f"{path}: is {found} pixels (height x width), its annotations say {height} x {width}")
    return pixels
