"""A model over a set: official pairs, categories of the file, the size of the video, and nothing left changed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mssts.api import load
from mssts.data.rle import decode
from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError
from mssts.evaluate.results_file import Result
from mssts.evaluate.run_model import evaluate_model, read_frames
from mssts.evaluate.video_ap import evaluate_video_ap
from mssts.model.vis import VisModel
from mssts.predict.preprocess import to_clip


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    folder = tmp_path_factory.mktemp("set")
    write_synthetic_set(folder, "valid", 2, 5, progress=False, height=72, width=104, min_frames=7, max_frames=9)
    return load_video_set(folder, "valid")


@pytest.fixture(scope="module")
def model() -> VisModel:
    return load("tiny", "cpu").model


@pytest.fixture(scope="module", params=["offline", "near-online"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def results(model: VisModel, truth: VideoSet, mode: str) -> list[Result]:
    return evaluate_model(model, truth, device="cpu", mode=mode, progress=False)  # pyright: ignore[reportArgumentType]


def test_results_fit_the_set(results: list[Result], truth: VideoSet):
    videos = {video.id: video for video in truth.videos}
    assert {result.video_id for result in results} == set(videos)
    for video in truth.videos:
        scores = [result.score for result in results if result.video_id == video.id]
        assert 0 < len(scores) <= 10
        assert scores == sorted(scores, reverse=True)
    for result in results:
        video = videos[result.video_id]
        masks = [decode(code, video.height, video.width) for code in result.segmentations if code]
        assert any(mask.any() for mask in masks)
        assert len(result.segmentations) == len(video.file_names)


def test_the_trained_model_finds_the_objects(results: list[Result], truth: VideoSet):
    """Masks at a wrong place, frame or size, or classes mixed up, would leave next to nothing."""
    assert evaluate_video_ap(truth, results).numbers["AP50"] > 0.4


def test_a_second_run_gives_the_same(results: list[Result], model: VisModel, truth: VideoSet, mode: str):
    again = evaluate_model(model, truth, device="cpu", mode=mode, num_videos=1, progress=False)  # pyright: ignore[reportArgumentType]
    assert again == [result for result in results if result.video_id == truth.videos[0].id]


def test_offline_takes_the_best_pairs_of_the_whole_video(model: VisModel, truth: VideoSet):
    """Against one plain forward over the video, which is what offline is when all frames fit the window."""
    video = truth.videos[0]
    results = evaluate_model(
        model, truth, device="cpu", window=len(video.file_names), num_videos=1, progress=False, mode="offline"
    )
    with torch.inference_mode():
        clip = to_clip(list(read_frames(truth, video)), model.config.short_side, torch.device("cpu"))
        scores = model(clip).class_logits[-1][0].sigmoid().flatten()
    best = scores.sort(descending=True).values[:10].tolist()
    found = [result.score for result in results]
    # A pair whose masks are empty is left out.
    assert len(found) >= 5
    assert all(min(abs(score - other) for other in best) < 1e-5 for score in found)


def test_categories_are_those_of_the_file(results: list[Result], model: VisModel, truth: VideoSet, mode: str):
    """The same set with other ids and one class less: results follow the names."""
    moved = tuple((100 - id_, name.upper()) for id_, name in truth.categories[1:])
    other = truth._replace(categories=moved)
    found = evaluate_model(model, other, device="cpu", mode=mode, num_videos=1, progress=False)  # pyright: ignore[reportArgumentType]
    first, lost = truth.videos[0].id, truth.categories[0][0]
    expected = [r for r in results if r.video_id == first and r.category_id != lost]
    kept = [result._replace(category_id=100 - result.category_id) for result in found][: len(expected)]
    assert kept == expected


def test_what_the_model_does_not_know_is_told(model: VisModel, truth: VideoSet, capsys: pytest.CaptureFixture[str]):
    other = truth._replace(categories=(*truth.categories, (77, "person"), (78, "cow")))
    evaluate_model(model, other, device="cpu", num_videos=0)
    assert "the model does not know person, cow" in capsys.readouterr().err
    with pytest.raises(BadInputError, match="none of its categories"):
        evaluate_model(model, truth._replace(categories=((77, "person"),)), device="cpu")


@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_in_its_mode(model: VisModel, truth: VideoSet, training: bool):
    model.train(training)
    one_frame = truth._replace(videos=(truth.videos[0]._replace(file_names=truth.videos[0].file_names[:1]),))
    evaluate_model(model, one_frame, device="cpu", detections_per_video=1, progress=False)
    assert model.training is training
    with pytest.raises(BadInputError):
        evaluate_model(model, truth._replace(image_root=Path("nowhere")), device="cpu", progress=False)
    assert model.training is training
    model.eval()


def test_frames_that_do_not_fit_are_named(truth: VideoSet, tmp_path: Path):
    video = truth.videos[0]._replace(file_names=("a.png",))
    other = truth._replace(image_root=tmp_path)
    with pytest.raises(BadInputError, match=r"a.png: no such file"):
        list(read_frames(other, video))
    Image.fromarray(np.zeros((8, 9, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(BadInputError, match=r"a.png: is 9x8, the annotations say 104x72"):
        list(read_frames(other, video))
    (tmp_path / "a.png").write_bytes(b"scrap")
    with pytest.raises(BadInputError, match=r"a.png: is not a picture"):
        list(read_frames(other, video))
