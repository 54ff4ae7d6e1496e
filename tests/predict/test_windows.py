"""Windows against the properties that they promise, for every combination of length and overlap."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssts.predict.windows import Window, cut_windows
from mssts.types import Frame

IMAGE = np.zeros((1, 1, 3), dtype=np.uint8)


def frames(count: int, first: int = 0) -> list[Frame]:
    return [Frame(index, index / 10, IMAGE) for index in range(first, count)]


def indices(window: Window) -> list[int]:
    return [frame.index for frame in window.frames]


@given(count=st.integers(0, 60), length=st.integers(1, 8), data=st.data())
def test_every_frame_is_new_once_and_windows_share_the_overlap(count, length, data):
    overlap = data.draw(st.integers(0, length - 1))
    windows = list(cut_windows(frames(count), length, overlap))
    new = [index for window in windows for index in indices(window)[len(window.frames) - window.num_new :]]
    assert new == list(range(count))
    for window in windows:
        assert indices(window) == list(range(window.frames[0].index, window.frames[-1].index + 1))
        assert len(window.frames) == min(length, count)
    for before, after in pairwise(windows):
        assert len(set(indices(before)) & set(indices(after))) >= overlap


@given(count=st.integers(1, 60), length=st.integers(1, 8), data=st.data())
def test_going_on_gives_the_windows_of_an_uninterrupted_run(count, length, data):
    overlap = data.draw(st.integers(0, length - 1))
    windows = list(cut_windows(frames(count), length, overlap))
    stop = data.draw(st.integers(1, len(windows)))
    done = windows[stop - 1].frames[-1].index + 1
    resumed = list(cut_windows(frames(count, max(0, done - length)), length, overlap, first_new=done))
    assert [(indices(w), w.num_new) for w in resumed] == [(indices(w), w.num_new) for w in windows[stop:]]


@pytest.mark.parametrize(("length", "overlap"), [(5, 5), (5, 6), (5, -1), (0, 0)])
def test_overlap_without_room_for_new_frames(length, overlap):
    with pytest.raises(ValueError, match="overlap"):
        list(cut_windows(frames(9), length, overlap))
