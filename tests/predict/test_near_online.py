"""Near-online inference: all frames in order, tracks with steady names."""

import media_files
import numpy as np
import pytest
from small_segmenter import CATEGORIES, make_segmenter

from mssts.predict.near_online import NearOnlinePredictor, Step, TrackClasses
from mssts.predict.stitch import Linker, LinkerConfig
from mssts.types import Frame, FrameResult


def synthetic_frames(count: int) -> list[Frame]:
    return [Frame(index, index / 25, media_files.numbered_frame(index, 64, 96)) for index in range(count)]


@pytest.fixture(scope="module")
def segmenter():
    return make_segmenter()


@pytest.mark.parametrize("count", [1, 3, 5, 6, 13])
def test_every_frame_gets_one_result_in_order(segmenter, count):
    predictor = NearOnlinePredictor(segmenter.model, segmenter.settings(confidence=0.3))
    frames = synthetic_frames(count)
    results = [result for step in predictor.steps(frames) for result in step.results]
    assert [result.index for result in results] == list(range(count))
    for frame, result in zip(frames, results, strict=True):
        np.testing.assert_array_equal(result.image, frame.image)
        assert len(set(result.track_ids.tolist())) == len(result.track_ids)
        for mask, box in zip(result.masks, result.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_nothing_found_is_a_result_too(segmenter):
    predictor = NearOnlinePredictor(segmenter.model, segmenter.settings(confidence=1.0))
    results = [result for step in predictor.steps(synthetic_frames(7)) for result in step.results]
    assert [len(result.masks) for result in results] == [0] * 7


def test_unnamed_class_slots_are_never_reported(segmenter):
    predictor = NearOnlinePredictor(segmenter.model, segmenter.settings(confidence=0.1))
    labels = {int(label) for step in predictor.steps(synthetic_frames(8)) for r in step.results for label in r.labels}
    assert labels
    assert labels <= {category.slot for category in CATEGORIES}


def test_a_tracks_class_is_its_mean_over_windows():
    classes = TrackClasses()
    classes.add(4, np.array([0.6, 0.1], dtype=np.float32))
    classes.add(4, np.array([0.1, 0.9], dtype=np.float32))
    slot, score = classes.best(4)
    assert slot == 1
    assert score == pytest.approx(0.5)


class LongMemory(TrackClasses):
    """What forgets nothing."""

    def keep(self, track_ids):
        """Keep all."""


def test_tracks_that_ended_are_forgotten_and_nobody_misses_them(segmenter):
    settings = segmenter.settings(confidence=0.3, window=3, overlap=1, doubt=1.0)
    runs = []
    for classes in (TrackClasses(), LongMemory()):
        linker = Linker(LinkerConfig(max_lost_windows=0))
        steps = list(NearOnlinePredictor(segmenter.model, settings, linker, classes).steps(synthetic_frames(40)))
        runs.append([(r.track_ids.tolist(), r.labels.tolist(), r.scores.tolist()) for s in steps for r in s.results])
        ever = {track_id for step in steps for track_id in step.class_scores}
        assert len(classes) == (len(ever) if isinstance(classes, LongMemory) else len(linker.live()))
        assert len(linker.live()) < len(ever)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("doubt", [0.5, 0.95, 1.0])
def test_a_track_goes_on_from_its_share_of_the_threshold_on(segmenter, doubt):
    settings = segmenter.settings(confidence=0.82, doubt=doubt)
    steps = NearOnlinePredictor(segmenter.model, settings).steps(synthetic_frames(40))
    scores = np.array([scores.max() for step in steps for scores in step.class_scores.values()])
    assert scores.min() >= np.float32(0.82 * doubt)
    assert (scores < 0.82).any() == (doubt < 1)


def test_a_track_has_one_class_and_one_score_in_a_window(segmenter):
    predictor = NearOnlinePredictor(segmenter.model, segmenter.settings(confidence=0.3))
    for step in predictor.steps(synthetic_frames(20)):
        columns = ((r.track_ids.tolist(), r.labels.tolist(), r.scores.tolist()) for r in step.results)
        rows = {row for column in columns for row in zip(*column, strict=True)}
        assert rows
        assert len({track_id for track_id, *_ in rows}) == len(rows)
        # Detections of the window count even where no pixel of the new frames shows them.
        assert {track_id for track_id, *_ in rows} <= step.class_scores.keys()


def test_windows_that_reach_back_do_not_change_what_is_out_already(segmenter):
    """The results of a frame are those of the first window that holds it, however the video goes on."""
    settings = segmenter.settings(confidence=0.3, keep_brief=True)
    frames = synthetic_frames(14)

    def results(count: int) -> list[FrameResult]:
        steps = NearOnlinePredictor(segmenter.model, settings).steps(frames[:count])
        return [result for step in steps for result in step.results]

    for short, long in zip(results(8), results(14)[:8], strict=True):
        np.testing.assert_array_equal(short.masks, long.masks)
        np.testing.assert_array_equal(short.track_ids, long.track_ids)


def visible_tracks(steps: list[Step]) -> list[set[int]]:
    """The ids of the tracks that are visible in each window's new frames."""
    return [{int(track_id) for result in step.results for track_id in result.track_ids} for step in steps]


@pytest.mark.parametrize(("count", "confidence"), [(3, 0.82), (5, 0.82), (7, 0.82), (26, 0.82)])
def test_what_only_one_window_is_sure_of_is_left_out(segmenter, count, confidence):
    """Compared with all steps at once: shown is what the window's own scores, those before and the next confirm."""
    frames = synthetic_frames(count)
    everything = segmenter.settings(confidence=confidence, keep_brief=True)
    all_steps = list(NearOnlinePredictor(segmenter.model, everything).steps(frames))
    steps = list(NearOnlinePredictor(segmenter.model, segmenter.settings(confidence=confidence)).steps(frames))
    sure = [{id_ for id_, scores in step.class_scores.items() if scores.max() >= confidence} for step in all_steps]
    expected = [
        {id_ for id_ in visible if len(sure) == 1 or sum(id_ in ids for ids in sure[: index + 2]) > 1}
        for index, visible in enumerate(visible_tracks(all_steps))
    ]
    assert visible_tracks(steps) == expected
    assert [len(step.results) for step in steps] == [len(step.results) for step in all_steps]
    print(sum(map(len, visible_tracks(all_steps))), sum(map(len, expected)))
