"""Cut a stream of frames into overlapping windows for the model, holding no more than one window in memory."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mssts.types import Frame


class Window(NamedTuple):
    """Consecutive frames for one pass of the model; the last `num_new` were in no window before."""

    frames: list[Frame]
    num_new: int


def cut_windows(frames: Iterable[Frame], length: int, overlap: int, first_new: int = 0) -> Iterator[Window]:
    """Yield windows of `length` frames that share at least `overlap` frames with the one before.

    The last window reaches back as far as it must to be full; only a video shorter than `length` gives a shorter one.

    Args:
        frames: Frames in order. To go on after an interruption, start them up to `length` frames before `first_new`.
        length: Frames per window (T).
        overlap: Frames that neighbouring windows share at least, 0 <= overlap < length.
        first_new: Index of the first frame that no earlier window held.

    Raises:
        ValueError: The overlap leaves no room for new frames.
    """
    if not 0 <= overlap < length:
        raise ValueError(f"overlap {overlap} does not fit a window of {length} frames")
    held: list[Frame] = []
    num_new = 0
    is_first = first_new == 0
    for frame in frames:
        held = [*held, frame][-length:]
        num_new += frame.index >= first_new
        if num_new == (length if is_first else length - overlap):
            yield Window(held, num_new)
            num_new, is_first = 0, False
    if num_new:
        yield Window(held, num_new)
