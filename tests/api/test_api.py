"""The Python interface, as a user calls it."""

import gc
import json
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
from pycocotools import mask as coco_mask

sys.path.insert(0, str(Path(__file__).parents[1] / "predict"))
import media_files
from small_segmenter import make_segmenter

import mssts
from mssts.checkpoint import save_model
from mssts.errors import BadInputError, CheckpointError, PartialInputError, ResourceError
from mssts.predict.track_store import TrackStore

NUM_FRAMES = 9


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(make_segmenter().model, path)
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return media_files.write_video(tmp_path / "in.mp4", NUM_FRAMES, size=(64, 96))


@pytest.fixture
def temp_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_whole_and_stream_agree(model_file, video, tmp_path, temp_folder):
    model = mssts.load(model_file.parent)
    streamed = list(model.predict(video, stream=True))
    result = model.predict(str(video))
    assert len(result) == len(streamed) == NUM_FRAMES
    tracks = {track.id: track for track in result.tracks}
    assert tracks
    for frame in streamed:
        for track_id, mask in zip(frame.track_ids.tolist(), frame.masks, strict=True):
            stored = coco_mask.decode(tracks[track_id].segmentations[frame.index])
            np.testing.assert_array_equal(stored.astype(bool), mask)
    result.save_json(tmp_path / "r.json")
    entries = json.loads((tmp_path / "r.json").read_text())
    assert [entry["track_id"] for entry in entries] == sorted(tracks)
    result.save_video(tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == NUM_FRAMES
    del result
    assert list(temp_folder.iterdir()) == []


def test_stream_that_is_left_early_cleans_up(model_file, video, temp_folder):
    stream = mssts.load(model_file).predict(video, stream=True)
    assert next(stream).index == 0
    assert list(temp_folder.iterdir())
    stream.close()
    assert list(temp_folder.iterdir()) == []


@pytest.mark.parametrize("mode", ["near-online", "offline"])
def test_frames_read_back_are_those_of_the_stream(model_file, video, mode):
    model = mssts.load(model_file)
    result = model.predict(video, mode=mode, confidence=0.5)
    streamed = model.predict(video, stream=True, mode=mode, confidence=0.5)
    for stored, frame in zip(result.frames(), streamed, strict=True):
        assert stored.index == frame.index
        assert stored.time_s == frame.time_s
        np.testing.assert_array_equal(stored.image, frame.image)
        # The store keeps instances by track, the stream by score.
        order = np.argsort(frame.track_ids)
        for name in ("masks", "boxes", "labels", "scores", "track_ids"):
            np.testing.assert_array_equal(getattr(stored, name), getattr(frame, name)[order], err_msg=name)


def test_a_track_agrees_with_its_frames(model_file, video):
    result = mssts.load(model_file).predict(video)
    frames = list(result.frames())
    for track in result.tracks:
        shown = [frame.index for frame in frames if track.id in frame.track_ids]
        assert [index for index, code in enumerate(track.segmentations) if code] == shown
        assert (track.first_frame, track.last_frame, track.num_visible) == (shown[0], shown[-1], len(shown))
        assert track.name == {0: "cat", 1: "dog", 3: "bird"}[track.label]
        # The last frame was named by all windows, as the track is.
        last = frames[shown[-1]]
        assert last.labels[last.track_ids.tolist().index(track.id)] == track.label


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"window": 3, "overlap": 3}, "overlap 3"),
        ({"confidence": 1.5}, "confidence 1.5"),
        ({"window": 0}, "window 0"),
        ({"doubt": -0.1}, "doubt -0.1"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_options_out_of_range(model_file, video, temp_folder, options, fault, stream):
    with pytest.raises(ValueError, match=fault):
        mssts.load(model_file).predict(video, stream=stream, **options)
    assert list(temp_folder.iterdir()) == []


def test_an_error_midway_cleans_up(model_file, video, temp_folder, monkeypatch):
    def full_disk(*_args):
        raise ResourceError("tracks.sqlite: cannot be written (no space)")

    monkeypatch.setattr(TrackStore, "append", full_disk)
    model = mssts.load(model_file)
    for predict in (lambda: model.predict(video), lambda: list(model.predict(video, stream=True))):
        with pytest.raises(ResourceError):
            predict()
        gc.collect()
        assert list(temp_folder.iterdir()) == []


def test_supervision_detections(model_file, video):
    pytest.importorskip("supervision")
    result = mssts.load(model_file).predict(video)
    detections = list(result.to_supervision())
    assert len(detections) == NUM_FRAMES
    for ours, theirs in zip(result.frames(), detections, strict=True):
        assert theirs.tracker_id.tolist() == ours.track_ids.tolist()
        np.testing.assert_array_equal(theirs.mask, ours.masks)


def test_broken_video(model_file, tmp_path):
    whole = media_files.write_video(tmp_path / "in.avi", 40, codec="mjpeg", pix_fmt="yuvj420p", size=(64, 96))
    broken = media_files.cut(whole, 0.6)
    model = mssts.load(model_file)
    result = model.predict(broken)
    assert isinstance(result.incomplete, PartialInputError)
    assert 0 < len(result) < 40
    with pytest.raises(PartialInputError):
        list(model.predict(broken, stream=True))
    with pytest.raises(BadInputError):
        model.predict(tmp_path / "none.mp4")


@pytest.mark.parametrize("name", ["no-such-model", "no/such/path/here", "model.pth"])
def test_models_that_are_not_there(name):
    with pytest.raises(CheckpointError, match=name):
        mssts.load(name)


def test_unknown_device(model_file):
    with pytest.raises(BadInputError, match="device"):
        mssts.load(model_file, "abacus")
