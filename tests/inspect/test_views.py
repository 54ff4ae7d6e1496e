"""What the views say about the bundled model on the bundled clip, held against the truth and against plain passes."""

from itertools import islice

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

import mssts
from mssts.api import Segmenter
from mssts.inspect.recorder import Recorder
from mssts.inspect.views import FrameView, encoder_views, track_views
from mssts.predict.near_online import NearOnlinePredictor
from mssts.predict.postprocess import full_size_masks, masks_of
from mssts.predict.preprocess import to_clip
from mssts.tools.demo_clip import demo_video
from mssts.types import Frame

NUM_FRAMES = 11


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return mssts.load("tiny", "cpu")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [Frame(index, index / 10, image) for index, image in enumerate(islice(demo_video().frames, NUM_FRAMES))]


@pytest.fixture(scope="module")
def views(segmenter, frames) -> list[FrameView]:
    return list(track_views(segmenter.model, frames, segmenter.settings()))


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs of a positive and a negative place whose order is right."""
    ranks = rankdata(scores, axis=None).reshape(scores.shape)
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (~positive).sum()))


def test_objects_are_hotter_than_the_background(segmenter, frames):
    """A cell counts as object if most of its 16 x 16 pixels are."""
    shown = list(encoder_views(segmenter.model, frames, segmenter.settings()))
    assert [view.result.index for view in shown] == list(range(NUM_FRAMES))
    masks = demo_video().masks
    for view in shown:
        truth = np.asarray(masks[:, view.result.index].any(axis=0))
        height, width = view.activation.shape
        cells = truth.reshape(height, truth.shape[0] // height, width, -1).mean(axis=(1, 3)) > 0.5
        assert area_under_curve(view.activation, cells) > 0.9


@torch.no_grad()
def test_each_frame_is_shown_as_its_first_window_saw_it(segmenter, frames, views):
    model, settings = segmenter.model, segmenter.settings()
    # Windows of 5 that share 2; the last one reaches back to be full.
    first_window = [0, 0, 0, 0, 0, 3, 3, 3, 6, 6, 6]
    for view, start in zip(views, first_window, strict=True):
        memory = model.encode(to_clip(frames[start : start + 5], settings.short_side, torch.device("cpu"))).maps()[0]
        expected = memory[0, view.result.index - start].square().mean(0).sqrt().numpy()
        np.testing.assert_allclose(view.activation, expected, atol=1e-5)
        assert view.place == view.result.index - start


def test_tracks_are_those_of_predict(segmenter, frames, views):
    steps = NearOnlinePredictor(segmenter.model, segmenter.settings()).steps(frames)
    results = [result for step in steps for result in step.results]
    for view, result in zip(views, results, strict=True):
        assert [track.track_id for track in view.tracks] == result.track_ids.tolist()
        np.testing.assert_array_equal(view.result.masks, result.masks)
    assert sum(len(view.tracks) for view in views) > 2 * NUM_FRAMES


@torch.no_grad()
def test_a_tracks_view_is_that_of_the_query_with_its_mask(segmenter, frames, views):
    model, settings = segmenter.model, segmenter.settings()
    clip = to_clip(frames[:5], settings.short_side, torch.device("cpu"))
    with Recorder(model) as recorder:
        prediction = model(clip)
        record = recorder.take()
    everything = torch.arange(model.config.num_queries)
    size = clip.shape[-2:]
    logits = masks_of(prediction, everything, (size[0], size[1]))
    for view in views[:5]:
        height, width, _ = view.result.image.shape
        masks = full_size_masks(logits[:, view.place], (size[0], size[1]), (height, width)).numpy()
        for track, mask in zip(view.tracks, view.result.masks, strict=True):
            (query,) = np.flatnonzero((masks == mask).all(axis=(1, 2)))
            np.testing.assert_allclose(track.points, record.points[query, view.place], atol=1e-5)
            np.testing.assert_allclose(track.point_weights, record.point_weights[query, view.place], atol=1e-5)
            np.testing.assert_allclose(track.frame_weights, record.frame_weights[query], atol=1e-5)
            assert track.frame_attention is not None
            assert track.frame_attention.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_trained_model_samples_around_its_objects(views):
    for view in views:
        height, width, _ = view.result.image.shape
        for track, box in zip(view.tracks, view.result.boxes, strict=True):
            x, y = (track.points * track.point_weights[:, None]).sum(0) * (width, height)
            assert box[0] < x < box[2]
            assert box[1] < y < box[3]
