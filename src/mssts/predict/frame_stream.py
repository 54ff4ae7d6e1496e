"""What every reader of frames hands to `VideoSource`, and how it reports a fault."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

# 8192 x 8192: far above any camera, and a decoded frame still fits in 200 MB. Beyond it a file is taken for a bomb.
MAX_PIXELS = 1 << 26
DEFAULT_FPS = 30.0


class SourceFaultError(Exception):
    """A reader met a fault; the text completes the sentence "SOURCE: ..." and holds no line break.

    Readers need not know how far they came: `VideoSource` turns this into BadInputError or PartialInputError.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


class TimedImage(NamedTuple):
    """RGB pixels as displayed, with the presentation time in seconds."""

    time_s: float
    image: UInt8[np.ndarray, "H W 3"]


class FrameStream(NamedTuple):
    """An opened source: `images` yields every frame from the first one on and may raise SourceFaultError.

    `num_frames_hint` is None where the number is unknown; `close` releases the file or device.
    """

    name: str
    fps: float
    num_frames_hint: int | None
    is_live: bool
    images: Iterator[TimedImage]
    close: Callable[[], None]
