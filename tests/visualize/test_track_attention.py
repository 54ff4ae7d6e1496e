"""Sampling points are where they should be and as large as their weight; bars are as high as theirs."""

import numpy as np
import pytest

from mssts.inspect.views import FrameView, TrackView
from mssts.types import FrameResult
from mssts.visualize.palette import track_color
from mssts.visualize.track_attention import CHART_HEIGHT, draw_sampling_points, draw_weight_charts

GREY = np.full((200, 300, 3), 128, np.uint8)


def make_track(points, weights, frame_weights=(0.5, 0.5), attention=None, track_id=1) -> TrackView:
    return TrackView(
        track_id=track_id,
        points=np.array(points, np.float32).reshape(-1, 2),
        point_weights=np.array(weights, np.float32),
        frame_weights=np.array(frame_weights, np.float32),
        frame_attention=None if attention is None else np.array(attention, np.float32),
    )


def make_view(tracks: list[TrackView], place: int = 0) -> FrameView:
    num = len(tracks)
    result = FrameResult(
        index=0,
        time_s=0.0,
        image=GREY,
        masks=np.ones((num, 200, 300), bool),
        boxes=np.zeros((num, 4), np.float32),
        labels=np.zeros(num, np.int64),
        scores=np.linspace(0.9, 0.5, num).astype(np.float32),
        track_ids=np.array([track.track_id for track in tracks], np.int64),
    )
    return FrameView(result, np.zeros((4, 6), np.float32), (0.0, 1.0), place, tracks)


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != GREY).any(axis=-1)


def test_a_dot_is_at_its_point_in_the_tracks_colour():
    drawn = draw_sampling_points(GREY, [make_track([(0.25, 0.6)], [0.3], track_id=4)])
    rows, columns = np.nonzero(changed(drawn))
    assert (rows.min() + rows.max()) / 2 == pytest.approx(0.6 * 200, abs=1.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(0.25 * 300, abs=1.5)
    assert tuple(drawn[120, 75]) == track_color(4)


def test_area_grows_with_weight():
    areas = [changed(draw_sampling_points(GREY, [make_track([(0.5, 0.5)], [w])])).sum() for w in (0.1, 0.2, 0.8)]
    assert areas[1] / areas[0] == pytest.approx(2, rel=0.2)
    assert areas[2] / areas[0] == pytest.approx(8, rel=0.2)


def test_points_outside_are_left_out():
    drawn = draw_sampling_points(GREY, [make_track([(-0.4, 0.5), (0.5, 1.2)], [0.5, 0.5])])
    assert not changed(drawn).any()


def bar_heights(chart: np.ndarray, color, width: int) -> list[int]:
    """Pixels of the colour in the middle column of each of three bars."""
    left, right = 6, width - 10
    middles = [round(left + (right - left) * (bar + 0.5) / 3) for bar in range(3)]
    return [int((chart[:, x] == color).all(axis=-1).sum()) for x in middles]


def test_bars_are_as_high_as_the_weights():
    track = make_track([], [], frame_weights=(0.1, 0.3, 0.6))
    chart = draw_weight_charts(make_view([track]), ["bear"], 104)
    assert chart.shape == (CHART_HEIGHT, 104, 3)
    low, middle, high = bar_heights(chart, track_color(1), 104)
    # The grey line of equal shares, the frame's outline and the rounding take a pixel or two.
    assert high / middle == pytest.approx(2, rel=0.15)
    assert high / low == pytest.approx(6, rel=0.35)


def test_attention_has_marks_of_its_own():
    plain = draw_weight_charts(make_view([make_track([], [], (0.2, 0.8))]), ["bear"], 104)
    marked = draw_weight_charts(make_view([make_track([], [], (0.2, 0.8), (0.6, 0.4))]), ["bear"], 104)
    rows, columns = np.nonzero((plain != marked).any(axis=-1))
    # The higher mark stands over the lower bar.
    assert columns[rows == rows.min()].max() < 52


def test_only_the_best_tracks_that_fit_get_a_chart():
    tracks = [make_track([], [], track_id=track_id) for track_id in (1, 2, 3, 4)]
    chart = draw_weight_charts(make_view(tracks), ["bear"], 230)
    seen = {track_id for track_id in (1, 2, 3, 4) if (chart == track_color(track_id)).all(axis=-1).any()}
    assert seen == {1, 2}
    assert draw_weight_charts(make_view([]), ["bear"], 230).shape == chart.shape
