"""The numbers against those of other libraries: video AP against hotcoco, HOTA and J&F against TrackEval."""

import sys
from types import SimpleNamespace

import hotcoco
import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from track_cases import CATEGORIES, HEIGHT, WIDTH, MaskTrack, TrackCase, box, encode, random_case, to_results, to_set
from trackeval.datasets.kitti_mots import KittiMOTS
from trackeval.metrics import HOTA, JAndF

from mssts.data.video_set import Video
from mssts.evaluate.hota import HOTA_NAMES, evaluate_hota
from mssts.evaluate.region_boundary import evaluate_region_boundary
from mssts.evaluate.video_ap import evaluate_video_ap

MIN_SCORE = 0.3
SEEDS = range(12)
# The numbers that do not depend on sizes: of a picture of all frames, that is another one.
AP_NAMES = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100")
# J&F's names at TrackEval.
J_AND_F_NAMES = {"J&F": "J&F", "J": "J-Mean", "J-Recall": "J-Recall", "F": "F-Mean", "F-Recall": "F-Recall"}


def join(track: MaskTrack) -> dict:
    """One picture of all frames side by side: its IoU is the video IoU."""
    empty = np.zeros((HEIGHT, WIDTH), dtype=bool)
    code = encode(np.concatenate([empty if mask is None else mask for mask in track.masks], axis=1))
    assert code is not None
    area = sum(int(mask.sum()) for mask in track.masks if mask is not None)
    code["counts"] = code["counts"].decode()
    return {"image_id": track.video_id, "category_id": track.category_id, "segmentation": code, "area": area}


def hotcoco_numbers(case: TrackCase) -> dict[str, float]:
    images = [{"id": one.id, "height": HEIGHT, "width": WIDTH * len(one.file_names)} for one in case.videos]
    annotations = [join(track) | {"id": index + 1, "iscrowd": 0} for index, track in enumerate(case.truths)]
    categories = [{"id": id_, "name": str(id_)} for id_ in CATEGORIES]
    truth = hotcoco.COCO({"images": images, "annotations": annotations, "categories": categories})
    found = truth.load_res([join(track) | {"score": track.score} for track in case.found])
    evaluator = hotcoco.COCOeval(truth, found, "segm")
    evaluator.run()
    return evaluator.get_results()


@pytest.mark.parametrize("seed", SEEDS)
def test_video_ap_is_hotcocos_on_joined_codes(seed: int):
    case = random_case(seed, max_finds=15)
    # Few different scores, so that ties abound.
    case = case._replace(found=[track._replace(score=round(track.score * 9) / 9) for track in case.found])
    numbers, expected = evaluate_video_ap(to_set(case), to_results(case)).numbers, hotcoco_numbers(case)
    assert numbers["AP"] > 0
    assert {name: numbers[name] for name in AP_NAMES} == pytest.approx(
        {name: expected[name] for name in AP_NAMES}, abs=1e-9
    )


def tracks_of(tracks: list[MaskTrack], video: Video) -> list[MaskTrack]:
    """The tracks of a video that are visible at all and score enough."""
    seen = [track for track in tracks if any(map(np.any, track.masks))]
    return [track for track in seen if track.video_id == video.id and track.score >= MIN_SCORE]


def frame_ious(first: list[np.ndarray | None], second: list[np.ndarray | None]) -> np.ndarray:
    ious = [[(a & b).sum() / (a | b).sum() for b in second] for a in first]  # pyright: ignore[reportOptionalOperand]
    return np.array(ious).reshape(len(first), len(second))


def frame_data(kind: str, tracks: list[MaskTrack], num_frames: int) -> dict[str, list]:
    """A video's tracks as TrackEval wants them: what is visible, frame by frame."""
    visible = [[index for index, track in enumerate(tracks) if np.any(track.masks[time])] for time in range(num_frames)]
    return {
        f"{kind}_ids": [np.array(indices, dtype=int) for indices in visible],
        f"{kind}_classes": [np.array([tracks[index].category_id for index in indices]) for indices in visible],
        f"{kind}_dets": [[encode(tracks[i].masks[time]) for i in indices] for time, indices in enumerate(visible)],
    }


def trackeval_hota(case: TrackCase, video: Video, category_id: int) -> dict:
    """HOTA of one video and class after the preprocessing for KITTI MOTS, which is the one that knows crowds."""
    num_frames = len(video.file_names)
    truths, found = tracks_of(case.truths, video), tracks_of(case.found, video)
    crowds = [one for one in truths if one.is_crowd and one.category_id == category_id]
    truths = [one for one in truths if not one.is_crowd]
    raw = {"num_timesteps": num_frames, "seq": str(video.id)}
    raw |= frame_data("gt", truths, num_frames) | frame_data("tracker", found, num_frames)
    raw["gt_ignore_region"] = [
        encode(next((one.masks[time] for one in crowds if one.masks[time] is not None), box(0, 0, 0, 0)))
        for time in range(num_frames)
    ]
    raw["similarity_scores"] = [
        frame_ious([truths[row].masks[time] for row in rows], [found[column].masks[time] for column in columns])
        for time, (rows, columns) in enumerate(zip(raw["gt_ids"], raw["tracker_ids"], strict=True))
    ]
    dataset = object.__new__(KittiMOTS)  # its constructor reads files
    dataset.class_name_to_class_id = {"a class": str(category_id)}
    return HOTA().eval_sequence(dataset.get_preprocessed_seq_data(raw, "a class"))


def means(numbers: dict) -> dict[str, float]:
    return {name: float(np.mean(numbers[name])) for name in HOTA_NAMES}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("with_crowds", [False, True])
def test_hota_is_trackevals(seed: int, with_crowds: bool):
    case = random_case(seed, with_crowds)
    parts = {(v.id, c): trackeval_hota(case, v, c) for v in case.videos for c in CATEGORIES}
    by_class = {c: HOTA().combine_sequences({v.id: parts[v.id, c] for v in case.videos}) for c in CATEGORIES}
    ours = evaluate_hota(to_set(case), to_results(case), MIN_SCORE)
    with_truth = {
        track.category_id for video in case.videos for track in tracks_of(case.truths, video) if not track.is_crowd
    }
    averaged = HOTA().combine_classes_class_averaged({c: by_class[c] for c in with_truth})
    assert ours.class_averaged == pytest.approx(means(averaged), abs=1e-9)
    assert 0 < ours.class_averaged["HOTA"] < 1
    for name, curve in ours.per_alpha.items():
        assert curve == pytest.approx(averaged[name], abs=1e-9)
    assert ours.detection_averaged == pytest.approx(means(HOTA().combine_classes_det_averaged(by_class)), abs=1e-9)
    for category_id in with_truth:
        assert ours.per_category[category_id] == pytest.approx(means(by_class[category_id]), abs=1e-9)
    for video in case.videos:
        own = {c: parts[video.id, c] for c in CATEGORIES}
        if ours.per_video[video.id]["HOTA"] >= 0:
            expected = means(HOTA().combine_classes_det_averaged(own))
            assert ours.per_video[video.id] == pytest.approx(expected, abs=1e-9)
        else:
            assert not any((one["HOTA_TP"] + one["HOTA_FN"]).any() for one in own.values())


@pytest.fixture
def plain_morphology(monkeypatch: pytest.MonkeyPatch):
    """What F takes from OpenCV, which needs system libraries, and scikit-image, which TrackEval does not install."""

    def disk(radius: float) -> np.ndarray:
        offsets = np.arange(-radius, radius + 1)
        return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)

    def dilate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return binary_dilation(image, structure=kernel).astype(np.uint8)

    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(dilate=dilate))
    monkeypatch.setitem(sys.modules, "skimage", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "skimage.morphology", SimpleNamespace(disk=disk))


def trackeval_j_and_f(case: TrackCase, video: Video) -> dict[str, float]:
    truths, found = tracks_of(case.truths, video), tracks_of(case.found, video)
    num_frames = len(video.file_names)
    data = {"num_timesteps": num_frames, "num_gt_ids": len(truths), "num_tracker_ids": len(found)}
    metric = JAndF()
    metric.optim_type = "J&F"  # as at DAVIS
    return metric.eval_sequence(data | frame_data("gt", truths, num_frames) | frame_data("tracker", found, num_frames))


@pytest.mark.usefixtures("plain_morphology")
@pytest.mark.parametrize("seed", SEEDS)
def test_j_and_f_is_trackevals(seed: int):
    case = random_case(seed)
    ours = evaluate_region_boundary(to_set(case), to_results(case), MIN_SCORE)
    parts = {v.id: trackeval_j_and_f(case, v) for v in case.videos if tracks_of(case.truths, v)}
    for video_id, expected in parts.items():
        assert ours.per_video[video_id] == pytest.approx({name: expected[peer] for name, peer in J_AND_F_NAMES.items()})
    combined = JAndF().combine_sequences(parts)
    assert ours.numbers == pytest.approx({name: combined[peer] for name, peer in J_AND_F_NAMES.items()})
    assert 0 < ours.numbers["J&F"] < 1
