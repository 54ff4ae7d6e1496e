"""Detections that the model is not sure of: they may go on with a track, never begin one, and confirm none."""

import numpy as np
import pytest
from synthetic_tracks import window

from mssts.predict.stitch import Linker
from mssts.types import WindowDetections

LEFT, RIGHT = (10, 10), (50, 24)


def sure(*flags: bool) -> np.ndarray:
    return np.array(flags, dtype=bool)


def three_frames(place: tuple[int, int]) -> list[tuple[int, int]]:
    return [place] * 3


def together(parts: list[WindowDetections]) -> WindowDetections:
    """The detections of one window in the order of `parts`."""
    columns = zip(*(part[1:] for part in parts), strict=True)
    return WindowDetections(parts[0].first_frame, *(np.concatenate(column) for column in columns))


def test_doubt_goes_on_with_a_track_but_begins_none():
    linker = Linker()
    assert linker.step(window(0, three_frames(LEFT)), sure(True)).tolist() == [1]
    assert linker.step(window(2, three_frames(LEFT)), sure(False)).tolist() == [1]
    # Elsewhere, with another look, nothing is known that it could go on with.
    assert linker.step(window(4, three_frames(RIGHT), embedding=1), sure(False)).tolist() == [0]
    # A number that was not given is not lost either.
    assert linker.step(window(6, three_frames(RIGHT), embedding=1), sure(True)).tolist() == [2]


def test_what_doubt_saw_keeps_the_track_alive():
    """The object moves on in a doubtful window; without that sight the next one would lie too far away."""
    places = [(10, 10), (16, 10), (22, 10)]
    linker = Linker()
    linker.step(window(0, three_frames(places[0])), sure(True))
    linker.step(window(2, three_frames(places[1])), sure(False))
    assert linker.step(window(4, three_frames(places[2])), sure(True)).tolist() == [1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_sure_choose_first(order):
    """The doubtful one lies exactly on the track, the sure one beside it: by score alone the first would win."""
    linker = Linker()
    linker.step(window(0, three_frames(LEFT)), sure(True))
    pair = [window(2, three_frames(LEFT)), window(2, three_frames((12, 10)))]
    detections = together([pair[index] for index in order])
    ids = linker.step(detections, sure(*(index == 1 for index in order)))
    assert ids[order.index(1)] == 1
    assert ids[order.index(0)] == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(("newcomer", "doubtful", "keeps"), [(15, 10, True), (14, 10, False), (15, 6, False)])
def test_a_sure_newcomer_takes_no_track_whose_object_is_in_doubt(order, newcomer, doubtful, keeps):
    """Masks are 8 pixels wide. 5 aside is IoU 3/13, another object; 4 aside is 4/12: a duplicate, or off the track."""
    linker = Linker()
    linker.step(window(0, three_frames(LEFT)), sure(True))
    pair = [window(2, three_frames((left, 10))) for left in (doubtful, newcomer)]
    ids = linker.step(together([pair[index] for index in order]), sure(*(index == 1 for index in order)))
    assert ids[[order.index(0), order.index(1)]].tolist() == ([1, 2] if keeps else [0, 1])


def test_a_sure_object_that_enters_takes_no_track_whose_object_is_in_doubt():
    """It appears where the track was, but only after the shared frame, so no overlap speaks for it or against it."""
    linker = Linker()
    linker.step(window(0, three_frames(LEFT)), sure(True))
    pair = [window(2, three_frames(LEFT)), window(2, [None, (15, 10), (15, 10)])]
    assert linker.step(together(pair), sure(False, True)).tolist() == [1, 2]


def test_two_sure_windows_confirm_a_track():
    linker = Linker()
    confirmed = []
    for index, is_sure in enumerate([True, False, False, True, False]):
        linker.step(window(2 * index, three_frames(LEFT)), sure(is_sure))
        linker = Linker.from_state(linker.config, linker.state())
        confirmed.append(linker.confirmed().tolist())
    assert confirmed == [[], [], [], [1], [1]]
    assert Linker().confirmed().tolist() == []
