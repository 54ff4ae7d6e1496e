"""Offline inference against one forward over the whole video."""

from pathlib import Path

import media_files
import numpy as np
import pytest
import torch
from small_segmenter import make_segmenter

from mssts.errors import BadInputError
from mssts.predict import job as job_module
from mssts.predict.offline import OFFICIAL_NUM_PAIRS, predict_offline
from mssts.predict.postprocess import masks_of
from mssts.predict.preprocess import to_clip
from mssts.predict.track_store import TrackStore
from mssts.predict.video import VideoSource, open_source
from mssts.types import Frame

NUM_FRAMES = 7


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    path: Path = tmp_path_factory.mktemp("video") / "a.mp4"
    with open_source(media_files.write_video(path, NUM_FRAMES, size=(64, 96))) as video:
        return list(video)


def test_baseline_in_windows_equals_one_forward(frames):
    segmenter = make_segmenter(contributions=False)
    instances = predict_offline(segmenter.model, frames, segmenter.settings(confidence=0.0, window=3))
    with torch.inference_mode():
        clip = to_clip(frames, 64, torch.device("cpu"))
        whole = segmenter.model(clip)
    torch.testing.assert_close(instances.prediction.class_logits, whole.class_logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(instances.prediction.boxes_cxcywh, whole.boxes_cxcywh, atol=1e-5, rtol=1e-5)
    expected = masks_of(whole, instances.queries, instances.input_size)
    for index, result in enumerate(instances.results(frames)):
        large = torch.nn.functional.interpolate(expected[None, :, index], size=(64, 96), mode="bilinear")[0] > 0
        visible = large.flatten(1).any(1)
        np.testing.assert_array_equal(result.track_ids, 1 + np.flatnonzero(visible.numpy()))
        assert (result.masks != large[visible].numpy()).mean() < 1e-3


def test_official_protocol_takes_the_best_pairs_of_query_and_named_class(frames):
    segmenter = make_segmenter()
    instances = predict_offline(segmenter.model, frames, segmenter.settings(confidence=0.0))
    scores = instances.prediction.class_logits[-1][0].sigmoid().numpy()
    scores[:, 2] = 0.0  # no category names this slot
    ranked = sorted(((s, q, c) for (q, c), s in np.ndenumerate(scores)), reverse=True)[:OFFICIAL_NUM_PAIRS]
    found = list(zip(instances.scores, instances.queries.tolist(), instances.slots, strict=True))
    np.testing.assert_allclose([s for s, *_ in found], [s for s, *_ in ranked], rtol=1e-6)
    assert {(q, c) for _, q, c in found} == {(q, c) for _, q, c in ranked}


def test_no_frames():
    segmenter = make_segmenter()
    with pytest.raises(ValueError, match="without frames"):
        predict_offline(segmenter.model, [], segmenter.settings())


def test_a_live_source_is_refused_before_the_model_runs(tmp_path, monkeypatch):
    class Live(VideoSource):
        name, is_live = "camera0", True

        def __iter__(self):
            pytest.fail("frames were taken from a source without an end")

    monkeypatch.setattr(job_module, "open_source", lambda source: Live())
    segmenter = make_segmenter()
    store = TrackStore.create(tmp_path / "tracks.sqlite", {})
    with pytest.raises(BadInputError, match="camera0: a live source has no end"):
        list(job_module.offline_job(segmenter.model, 0, segmenter.settings(), store))
    assert store.num_frames == 0


def test_confident_instances_are_stored_with_their_scores(frames, tmp_path):
    path = media_files.write_video(tmp_path / "a.mp4", NUM_FRAMES, size=(64, 96))
    segmenter = make_segmenter()
    settings = segmenter.settings(confidence=0.5, window=3)
    instances = predict_offline(segmenter.model, frames, settings)
    store = TrackStore.create(tmp_path / "tracks.sqlite", {"height": 64, "width": 96})
    results = list(job_module.offline_job(segmenter.model, path, settings, store))
    assert len(results) == store.num_frames == NUM_FRAMES
    assert len(set(instances.queries.tolist())) == len(instances.queries) > 0
    tracks = list(store.tracks())
    assert tracks
    for track in tracks:
        index = track.track_id - 1
        assert track.num_windows == 1
        assert np.flatnonzero(track.class_scores).tolist() == [instances.slots[index]]
        assert track.class_scores.max() == pytest.approx(instances.scores[index])
        assert instances.scores[index] >= 0.5
