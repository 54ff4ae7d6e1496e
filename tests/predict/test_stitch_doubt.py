"""Detections that the model is not sure of: they may go on with a track, never begin one, and confirm none."""

import numpy as np
import pytest
from synthetic_tracks import window

from mssts.predict.stitch import Linker

LEFT, RIGHT = (10, 10), (50, 24)


def sure(*flags: bool) -> np.ndarray:
    return np.array(flags, dtype=bool)


def three_frames(place: tuple[int, int]) -> list[tuple[int, int]]:
    return [place] * 3


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
    exact, beside = window(2, three_frames(LEFT)), window(2, three_frames((12, 10)))
    pair = [exact, beside]
    detections = exact._replace(
        **{
            name: np.concatenate([getattr(pair[index], name) for index in order])
            for name in ("mask_logits", "boxes", "class_scores", "embeddings")
        }
    )
    ids = linker.step(detections, sure(*(index == 1 for index in order)))
    assert ids[order.index(1)] == 1
    assert ids[order.index(0)] == 0


def test_two_sure_windows_confirm_a_track():
    linker = Linker()
    confirmed = []
    for index, is_sure in enumerate([True, False, False, True, False]):
        linker.step(window(2 * index, three_frames(LEFT)), sure(is_sure))
        linker = Linker.from_state(linker.config, linker.state())
        confirmed.append(linker.confirmed().tolist())
    assert confirmed == [[], [], [], [1], [1]]
    assert Linker().confirmed().tolist() == []
