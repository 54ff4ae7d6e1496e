"""Which frames of a video make a training clip."""

import numpy as np
from jaxtyping import Int

MAX_STEP = 3
"""The neighbours of the key frame lie 1 to this many frames away from it."""


def choose_frames(
    key_frame: int, video_length: int, num_frames: int, random: np.random.Generator
) -> Int[np.ndarray, " {num_frames}"]:
    """Choose the frames of a clip: a key frame, a neighbour on each side of it, and others from the whole video.

    At the ends of the video a neighbour is clamped to it, so it can be the key frame again. The others are drawn
    without repetition from the frames not chosen yet; a video that is too short for that repeats frames. A clip of one
    frame is the key frame, a clip of two has one of the neighbours.

    Args:
        key_frame: From 0.
        video_length: In frames.
        num_frames: T, at least 1.
        random: Where all choices come from.

    Returns:
        The indices of the frames, ascending.
    """
    before, after = key_frame - random.integers(1, MAX_STEP + 1), key_frame + random.integers(1, MAX_STEP + 1)
    neighbours = np.clip([before, after], 0, video_length - 1)
    near = np.append(key_frame, random.permutation(neighbours))[:num_frames]
    rest = np.setdiff1d(np.arange(video_length), near)
    others = random.permutation(rest)[: num_frames - len(near)]
    repeated = random.integers(0, video_length, num_frames - len(near) - len(others))
    return np.sort(np.concatenate([near, others, repeated]))
