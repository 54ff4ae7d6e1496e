"""From a source to a run folder: complete, partial, interrupted and resumed runs."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import media_files
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from small_segmenter import CATEGORIES, make_segmenter

from mssts.api import Segmenter
from mssts.errors import BadInputError, ResourceError
from mssts.predict import job as job_module
from mssts.predict import run as run_module
from mssts.predict import stitch as stitch_module
from mssts.predict.near_online import NearOnlinePredictor
from mssts.predict.offline import predict_offline
from mssts.predict.run import InterruptedRunError, RunOptions, predict_to_folder
from mssts.predict.run_folder import RunFolder
from mssts.predict.settings import PredictSettings
from mssts.predict.stitch import LinkerConfig
from mssts.predict.summary import no_tracks
from mssts.predict.track_store import TrackStore
from mssts.predict.video import open_source
from mssts.predict.video_writer import VideoWriter
from mssts.predict.windows import cut_windows

NUM_FRAMES = 17
SIZE = (64, 96)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return make_segmenter()


@pytest.fixture(scope="module")
def settings(segmenter: Segmenter) -> PredictSettings:
    return segmenter.settings(confidence=0.3)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return media_files.write_video(tmp_path / "in.mp4", NUM_FRAMES, size=SIZE)


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[Path, list[bytes]]:
    """The frames that were given to each video's encoder."""
    frames: dict[Path, list[bytes]] = {}
    write = VideoWriter.write

    def noting(self: VideoWriter, image: np.ndarray) -> None:
        if self.num_frames == 0:
            frames[self.path] = []
        frames[self.path].append(image.tobytes())
        write(self, image)

    monkeypatch.setattr(VideoWriter, "write", noting)
    return frames


def options(video: Path, out: Path, **changes) -> RunOptions:
    return RunOptions(source=str(video), out=out, save=("video", "json", "masks"), progress=False, **changes)


def final_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".part")}


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_outputs_agree_with_each_other(segmenter, settings, video, tmp_path):
    report = predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    assert report.partial is None
    assert report.num_frames == NUM_FRAMES
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"overlay.mp4", "results.json", "masks"}
    assert count_frames(tmp_path / "run" / "overlay.mp4") == NUM_FRAMES
    entries = json.loads((tmp_path / "run" / "results.json").read_text())
    assert entries
    assert {entry["category_id"] for entry in entries} <= {category.id for category in CATEGORIES}
    for index in range(NUM_FRAMES):
        ids = np.asarray(Image.open(tmp_path / "run" / "masks" / f"{index:06d}.png"))
        union = np.zeros(SIZE, dtype=bool)
        for entry in entries:
            assert len(entry["segmentations"]) == NUM_FRAMES
            if entry["segmentations"][index]:
                union |= coco_mask.decode(entry["segmentations"][index]).astype(bool)
        np.testing.assert_array_equal(ids > 0, union)
        assert set(np.unique(ids)) - {0} <= {entry["track_id"] for entry in entries}


def test_earlier_run_is_not_touched_without_overwrite(segmenter, settings, video, tmp_path):
    predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(BadInputError, match="--overwrite"):
        predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    predict_to_folder(segmenter, settings, options(video, tmp_path / "run", overwrite=True))
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert after[tmp_path / "run" / "results.json"] == before[tmp_path / "run" / "results.json"]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, window: int, error: BaseException) -> None:
    """Make the model's n-th window end in an error."""
    seen = []
    detect = NearOnlinePredictor.detect

    def failing(self, frames):
        seen.append(frames)
        if len(seen) == window:
            raise error
        return detect(self, frames)

    monkeypatch.setattr(NearOnlinePredictor, "detect", failing)


@pytest.mark.parametrize("window", [1, 2, 4, 5])
def test_resumed_run_equals_an_uninterrupted_one(segmenter, settings, video, tmp_path, window):
    predict_to_folder(segmenter, settings, options(video, tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, window, KeyboardInterrupt())
        with pytest.raises(InterruptedRunError, match="--resume"):
            predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    assert final_names(tmp_path / "run") == set()
    report = predict_to_folder(segmenter, settings, options(video, tmp_path / "run", resume=True))
    assert report.num_frames == NUM_FRAMES
    assert count_frames(tmp_path / "run" / "overlay.mp4") == NUM_FRAMES
    whole, resumed = (tmp_path / name / "results.json" for name in ("whole", "run"))
    assert resumed.read_bytes() == whole.read_bytes()
    for path in (tmp_path / "whole" / "masks").iterdir():
        assert (tmp_path / "run" / "masks" / path.name).read_bytes() == path.read_bytes()


def best_by_window(segmenter: Segmenter, video: Path) -> list[float]:
    """The best class score of each window, from all that the model says."""
    predictor = NearOnlinePredictor(segmenter.model, segmenter.settings(confidence=0.0))
    with open_source(video) as source:
        windows = list(cut_windows(source, predictor.settings.window, predictor.settings.overlap))
    return [float(predictor.detect(window.frames)[0].class_scores.max()) for window in windows]


@pytest.mark.parametrize("mode", ["near-online", "offline", "resumed"])
def test_a_run_without_tracks_names_the_best_score(segmenter, video, tmp_path, monkeypatch, mode):
    settings = segmenter.settings(confidence=1.0)
    best = best_by_window(segmenter, video)
    assert int(np.argmax(best)) < len(best) - 1, "or the resumed run could find the best score anew"
    run = options(video, tmp_path / "run", mode="offline" if mode == "offline" else "near-online")
    if mode == "resumed":
        with pytest.MonkeyPatch.context() as patch:
            interrupt_at(patch, len(best), KeyboardInterrupt())
            with pytest.raises(InterruptedRunError):
                predict_to_folder(segmenter, settings, run)
        run = replace(run, resume=True)
    # Two digits are too few to tell the windows apart.
    told = []
    monkeypatch.setattr(run_module, "no_tracks", lambda *arguments: told.append(arguments) or no_tracks(*arguments))
    assert predict_to_folder(segmenter, settings, run).text.startswith("no tracks above --conf 1 (the best score was ")
    if mode == "offline":
        with open_source(video) as source:
            best = predict_offline(segmenter.model, source, segmenter.settings(confidence=0.0)).scores
    assert told == [(1.0, max(best), False)]


def test_a_run_whose_tracks_were_brief_says_how_to_keep_them(segmenter, video, tmp_path):
    first, second = sorted(best_by_window(segmenter, video))[:-3:-1]
    settings = segmenter.settings(confidence=(first + second) / 2)
    assert "--keep-brief" in predict_to_folder(segmenter, settings, options(video, tmp_path / "run")).text
    kept = predict_to_folder(segmenter, replace(settings, keep_brief=True), options(video, tmp_path / "kept"))
    assert "#1" in kept.text


@pytest.mark.parametrize("window", [2, 9, 14])
def test_resumed_run_does_without_tracks_that_ended(segmenter, tmp_path, monkeypatch, drawn, window):
    """Tracks end at once where they are not seen; what the resumed run knows of the others is all that it needs."""
    for module in (stitch_module, job_module):
        monkeypatch.setattr(module, "LinkerConfig", partial(LinkerConfig, max_lost_windows=0))
    video = media_files.write_video(tmp_path / "in.mp4", 32, size=SIZE)
    settings = segmenter.settings(confidence=0.3, window=3, overlap=1, doubt=1.0)
    predict_to_folder(segmenter, settings, options(video, tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, window, KeyboardInterrupt())
        with pytest.raises(InterruptedRunError):
            predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    predict_to_folder(segmenter, settings, options(video, tmp_path / "run", resume=True))
    assert outputs_of(tmp_path / "run", drawn) == outputs_of(tmp_path / "whole", drawn)


def test_resume_refuses_other_settings_and_nothing_to_resume(segmenter, settings, video, tmp_path):
    with pytest.raises(BadInputError, match="no interrupted run"):
        predict_to_folder(segmenter, settings, options(video, tmp_path / "run", resume=True))
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 3, KeyboardInterrupt())
        with pytest.raises(InterruptedRunError):
            predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    with pytest.raises(BadInputError, match="interrupted run; --resume"):
        predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    other = segmenter.settings(confidence=0.4)
    with pytest.raises(BadInputError, match=r"confidence was 0\.3, is 0\.4"):
        predict_to_folder(segmenter, other, options(video, tmp_path / "run", resume=True))
    # The refusal must not have cost the interrupted run.
    assert (
        predict_to_folder(segmenter, settings, options(video, tmp_path / "run", resume=True)).num_frames == NUM_FRAMES
    )


def test_broken_source_gives_all_good_frames_and_says_so(segmenter, settings, tmp_path):
    whole = media_files.write_video(tmp_path / "in.mkv", NUM_FRAMES, size=SIZE, options={"g": "4"})
    broken = media_files.cut(whole, 0.7)
    report = predict_to_folder(segmenter, settings, options(broken, tmp_path / "run"))
    assert report.partial is not None
    assert report.partial.exit_code == 4
    assert 0 < report.num_frames < NUM_FRAMES
    assert count_frames(tmp_path / "run" / "overlay.mp4") == report.num_frames
    for entry in json.loads((tmp_path / "run" / "results.json").read_text()):
        assert len(entry["segmentations"]) == report.num_frames


def test_failure_leaves_nothing_behind(segmenter, settings, video, tmp_path, monkeypatch):
    def full_disk(*_args, **_kwargs):
        raise ResourceError("results.json: cannot be written (no space)")

    monkeypatch.setattr(TrackStore, "write_youtube_vis", full_disk)
    with pytest.raises(ResourceError):
        predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    assert list((tmp_path / "run").iterdir()) == []


def test_live_source_is_finished_on_ctrl_c(segmenter, settings, video, tmp_path, monkeypatch):
    original = run_module.open_source

    def as_live(source, **keywords):
        opened = original(source, **keywords)
        opened.is_live = True
        return opened

    for module in (run_module, job_module):
        monkeypatch.setattr(module, "open_source", as_live)
    interrupt_at(monkeypatch, 3, KeyboardInterrupt())
    report = predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    assert report.num_frames == 5 + 3
    assert count_frames(tmp_path / "run" / "overlay.mp4") == report.num_frames


@pytest.mark.parametrize("step", ["finish", "_publish_masks", "_remove_stale"])
def test_stopped_at_the_very_end_then_resumed(segmenter, settings, video, tmp_path, monkeypatch, drawn, step):
    predict_to_folder(segmenter, settings, options(video, tmp_path / "whole"))

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, step, stop)
        with pytest.raises(InterruptedRunError, match="--resume"):
            predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    assert not (tmp_path / "run" / "results.json").exists()
    predict_to_folder(segmenter, settings, options(video, tmp_path / "run", resume=True))
    assert outputs_of(tmp_path / "run", drawn) == outputs_of(tmp_path / "whole", drawn)


def outputs_of(folder: Path, drawn: dict[Path, list[bytes]]) -> dict[str, bytes | list[bytes]]:
    """What a run made; of the video the frames, since x264's bytes were seen to vary between two equal runs."""
    files = files_in(folder)
    assert count_frames(folder / "overlay.mp4") == len(drawn[folder / "overlay.mp4"])
    return files | {"overlay.mp4": drawn[folder / "overlay.mp4"]}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_video_that_cannot_be_finished_costs_no_older_run(segmenter, settings, video, tmp_path, monkeypatch):
    predict_to_folder(segmenter, settings, options(video, tmp_path / "run"))
    before = files_in(tmp_path / "run")

    def full_disk(self):
        self.abort()
        raise ResourceError(f"{self.path}: cannot write the video: No space left on device")

    monkeypatch.setattr(VideoWriter, "close", full_disk)
    other = segmenter.settings(confidence=0.9)
    with pytest.raises(ResourceError, match=r"overlay\.mp4"):
        predict_to_folder(segmenter, other, options(video, tmp_path / "run", overwrite=True))
    assert files_in(tmp_path / "run") == before


def test_a_broken_source_is_told_by_the_resumed_run_too(segmenter, settings, tmp_path, monkeypatch, drawn):
    whole = media_files.write_video(tmp_path / "in.avi", 30, codec="mjpeg", pix_fmt="yuvj420p", size=SIZE)
    broken = media_files.cut(whole, 0.6)
    expected = predict_to_folder(segmenter, settings, options(broken, tmp_path / "once"))
    assert expected.partial is not None
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, KeyboardInterrupt())
        with pytest.raises(InterruptedRunError):
            predict_to_folder(segmenter, settings, options(broken, tmp_path / "run"))
    report = predict_to_folder(segmenter, settings, options(broken, tmp_path / "run", resume=True))
    assert str(report.partial) == str(expected.partial)
    assert report.num_frames == expected.num_frames
    assert outputs_of(tmp_path / "run", drawn) == outputs_of(tmp_path / "once", drawn)


def test_offline_run_starts_over_after_ctrl_c(segmenter, settings, video, tmp_path, monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrackStore, "append", stop)
    with pytest.raises(InterruptedRunError, match="offline mode has to start over"):
        predict_to_folder(segmenter, settings, options(video, tmp_path / "run", mode="offline"))
    assert list((tmp_path / "run").iterdir()) == []


def as_pictures(video: Path, folder: Path) -> Path:
    """The frames of a video as PNG files, which lose nothing."""
    folder.mkdir()
    with av.open(str(video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(folder / f"{index}.png")
    return folder


def test_pictures_give_the_tracks_of_their_video(segmenter, settings, video, tmp_path):
    folder = as_pictures(video, tmp_path / "pictures")
    for source in (video, folder, folder / "*.png"):
        predict_to_folder(segmenter, settings, options(source, tmp_path / f"run-{source.name}"))
    expected = files_in(tmp_path / "run-in.mp4")
    for name in ("run-pictures", "run-*.png"):
        found = files_in(tmp_path / name)
        assert found["results.json"] == expected["results.json"]
        assert found["masks/000016.png"] == expected["masks/000016.png"]


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_resume_notices_a_changed_picture_but_not_its_own_folder(segmenter, settings, video, tmp_path, pattern):
    folder = as_pictures(video, tmp_path / "pictures")
    run = options(folder / pattern, folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 3, KeyboardInterrupt())
        with pytest.raises(InterruptedRunError):
            predict_to_folder(segmenter, settings, run)
    picture = folder / "11.png"
    content, times = picture.read_bytes(), picture.stat()
    Image.fromarray(media_files.numbered_frame(60, *SIZE)).save(picture)
    with pytest.raises(BadInputError, match="the source has changed"):
        predict_to_folder(segmenter, settings, replace(run, resume=True))
    picture.write_bytes(content)
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert predict_to_folder(segmenter, settings, replace(run, resume=True)).num_frames == NUM_FRAMES
