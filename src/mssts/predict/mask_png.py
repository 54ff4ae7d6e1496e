"""Writes the instances of one frame as a label image: pixel value = track id, 0 = background."""

import os
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from mssts.errors import ResourceError
from mssts.types import FrameResult
from mssts.visualize.palette import id_palette
from mssts.visualize.rank_map import painting_order, rank_map

MAX_PALETTE_ID = 255
MAX_ID = 65535
# Label images are flat: a higher level takes four times as long and saves little.
COMPRESS_LEVEL = 1


@lru_cache(maxsize=1)
def _palette_bytes() -> bytes:
    return id_palette(MAX_PALETTE_ID + 1).tobytes()


def label_image(result: FrameResult) -> UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"]:
    """Track id per pixel, of the instance with the highest score; 8 bits if the ids of the frame fit in."""
    order = painting_order(result.scores)
    ids = np.concatenate([[0], result.track_ids[order]])
    dtype = np.uint8 if ids.max() <= MAX_PALETTE_ID else np.uint16
    return np.take(ids.astype(dtype), rank_map(result.masks, order))


def write_mask_png(path: str | os.PathLike[str], result: FrameResult) -> None:
    """Writes the label image of a frame: an 8-bit palette PNG in the overlay's colours, or 16-bit greyscale.

    Greyscale is for frames in which a track id is above 255. The file is written in place: let it be in a folder that
    has no final name yet.

    Raises:
        ResourceError: The file cannot be written, or a track id does not fit 16 bits.
    """
    if len(result.track_ids) and result.track_ids.max() > MAX_ID:
        raise ResourceError(f"{path}: track id {result.track_ids.max()} does not fit a 16-bit mask file")
    image = Image.fromarray(label_image(result))
    if image.mode == "L":
        image.putpalette(_palette_bytes())
    try:
        image.save(path, format="PNG", compress_level=COMPRESS_LEVEL)
    except OSError as error:
        raise ResourceError(f"{path}: cannot write the mask file: {error.strerror or error}") from error
