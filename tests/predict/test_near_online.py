"""Near-online inference: all frames in order, tracks with steady names, masks as the model's logits say."""

import media_files
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_segmenter import CATEGORIES, make_segmenter

from mssts.predict.near_online import NearOnlinePredictor, TrackClasses
from mssts.predict.postprocess import confident_queries, distinct, full_size_masks
from mssts.types import Frame


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


def naive_full_size(logits: np.ndarray, input_size: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Look up each output pixel's centre in the stride-4 map, bilinearly."""
    count, rows, columns = logits.shape
    out = np.zeros((count, *size))
    for y in range(size[0]):
        for x in range(size[1]):
            v = np.clip((y + 0.5) * input_size[0] / size[0] / 4 - 0.5, 0, rows - 1)
            u = np.clip((x + 0.5) * input_size[1] / size[1] / 4 - 0.5, 0, columns - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            a, b = v - top, u - left
            out[:, y, x] = (1 - a) * ((1 - b) * logits[:, top, left] + b * logits[:, top, right])
            out[:, y, x] += a * ((1 - b) * logits[:, bottom, left] + b * logits[:, bottom, right])
    return out


@pytest.mark.parametrize(("input_size", "size"), [((64, 96), (64, 96)), ((40, 72), (80, 144)), ((36, 52), (72, 104))])
def test_masks_lie_where_the_logits_are(input_size, size):
    # Sides that are no multiple of 8 have a rim in the logits that lies outside the frame.
    rows, columns = (2 * -(-side // 8) for side in input_size)
    logits = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(0))
    expected = naive_full_size(logits.double().numpy(), input_size, size)
    found = full_size_masks(logits, input_size, size).numpy()
    unsure = np.abs(expected) < 1e-4
    np.testing.assert_array_equal(found[~unsure], (expected > 0)[~unsure])


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12), st.floats(0, 1, width=32), st.integers(1, 5))
def test_confident_queries_are_the_best_ones(best, threshold, limit):
    scores = torch.tensor(best)[:, None] * torch.tensor([0.5, 1.0])
    chosen = confident_queries(scores, threshold, limit).tolist()
    ranked = sorted(range(len(best)), key=lambda query: -float(scores[query, 1]))[:limit]
    assert chosen == [query for query in ranked if float(scores[query, 1]) >= threshold]


def test_duplicates_and_empty_masks_are_dropped():
    square = torch.full((2, 8, 8), -1.0)
    square[:, 2:6, 2:6] = 1.0
    shifted = torch.roll(square, 1, dims=2)  # IoU 24 / 40
    empty = torch.full_like(square, -1.0)
    assert distinct(torch.stack([square, square, shifted, empty]), 0.75).tolist() == [0, 2]
    assert distinct(torch.stack([square, square, shifted, empty]), 0.5).tolist() == [0]
