"""Video AP against plain loops over pixels, and properties that hold for any data."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from naive_video_ap import NaiveTrack, naive_numbers
from pycocotools import mask as coco_mask

from mssts.data.video_set import Track, Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate import threads
from mssts.evaluate.accumulate import NUMBER_NAMES
from mssts.evaluate.results_file import Result
from mssts.evaluate.video_ap import evaluate_video_ap, match_results, video_ap

CATEGORIES = (5, 9, 700)
FORMS = ("compressed", "counts", "polygon")


class Case(NamedTuple):
    truth: VideoSet
    results: list[Result]
    naive_truths: list[NaiveTrack]
    naive_results: list[NaiveTrack]


def encode(mask: np.ndarray | None, form: str = "compressed"):
    """A mask as an annotation file would hold it; only rectangles can be polygons."""
    if mask is None:
        return None
    if form == "polygon" and mask.any():
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x0, x1, y0, y1 = (int(value) for value in (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1))
        return [[x0, y0, x1, y0, x1, y1, x0, y1]]
    if form == "counts":
        pixels = mask.T.ravel()
        changes = np.flatnonzero(np.diff(pixels.astype(int), prepend=0))
        return {"size": list(mask.shape), "counts": np.diff(changes, prepend=0, append=pixels.size).tolist()}
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def random_masks(random: np.random.Generator, size: tuple[int, int], num_frames: int) -> list[np.ndarray | None]:
    """Rectangles that a track could have: some frames null, some empty."""
    height, width = size
    masks: list[np.ndarray | None] = []
    top, left = random.integers(0, height // 2), random.integers(0, width // 2)
    tall, wide = random.integers(2, height // 2 + 1), random.integers(2, width // 2 + 1)
    for _ in range(num_frames):
        mask = np.zeros(size, dtype=bool)
        if random.random() > 0.1:
            mask[top : top + tall, left : left + wide] = True
        masks.append(mask if random.random() > 0.25 else None)
        top = min(top + random.integers(0, 2), height - 1)
    return masks


def nearby(random: np.random.Generator, masks: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """What a model might find of a track: moved a little, a frame lost."""
    moved = random.choice([0, 0, 1, 2])
    return [None if mask is None or random.random() < 0.1 else np.roll(mask, moved, axis=1) for mask in masks]


def random_case(seed: int, size: tuple[int, int] = (20, 24), per_video: int = 8, scores: int = 4) -> Case:
    """Videos of 1 to 4 frames; few different scores, so that ties abound; a class without truth, and crowds."""
    random = np.random.default_rng(seed)
    videos = [Video(id_, *size, tuple(f"{frame}" for frame in range(random.integers(1, 5)))) for id_ in (30, 4, 11)]
    truths: list[NaiveTrack] = []
    found: list[NaiveTrack] = []
    for video in videos:
        for _ in range(random.integers(0, 5)):
            masks = random_masks(random, size, len(video.file_names))
            truths.append(NaiveTrack(video.id, int(random.choice(CATEGORIES[:2])), masks, 0.0, random.random() < 0.2))
        for _ in range(per_video):
            own = [track for track in truths if track.video_id == video.id]
            score = float(random.integers(scores)) / scores
            if own and random.random() < 0.7:
                base = own[random.integers(len(own))]
                found.append(NaiveTrack(video.id, base.category_id, nearby(random, base.masks), score))
            else:
                masks = random_masks(random, size, len(video.file_names))
                found.append(NaiveTrack(video.id, int(random.choice(CATEGORIES)), masks, score))
    random.shuffle(found)  # pyright: ignore[reportArgumentType]
    return to_case(videos, truths, found, random)


def to_case(videos, truths, found, random: np.random.Generator) -> Case:
    tracks = []
    for index, track in enumerate(truths):
        codes = tuple(encode(mask, str(random.choice(FORMS))) for mask in track.masks)
        tracks.append(Track(index, track.video_id, track.category_id, codes, (None,) * len(codes), track.is_crowd))
    names = tuple((id_, f"class {id_}") for id_ in CATEGORIES)
    truth = VideoSet(Path("gt.json"), Path(), tuple(videos), tuple(tracks), names, has_truth=bool(tracks))
    results = [Result(t.video_id, t.category_id, t.score, tuple(map(encode, t.masks))) for t in found]
    return Case(truth, results, truths, found)


@pytest.mark.parametrize("seed", range(40))
def test_numbers_are_those_of_plain_loops(seed: int):
    case = random_case(seed)
    numbers = evaluate_video_ap(case.truth, case.results).numbers
    assert tuple(numbers) == NUMBER_NAMES
    assert numbers == pytest.approx(naive_numbers(case.naive_truths, case.naive_results, list(CATEGORIES)), abs=1e-9)


def test_sizes_are_told_apart():
    """Frames large enough for small, medium and large tracks."""
    case = random_case(26, size=(600, 640), per_video=5)
    expected = naive_numbers(case.naive_truths, case.naive_results, list(CATEGORIES))
    assert min(expected["APs"], expected["APm"], expected["APl"]) > 0
    assert evaluate_video_ap(case.truth, case.results).numbers == pytest.approx(expected, abs=1e-9)


def test_an_area_on_the_border_is_both_small_and_medium():
    mask = np.zeros((128, 200), dtype=bool)
    mask[:, :128] = True
    track = NaiveTrack(1, 5, [mask, None])
    case = to_case([Video(1, 128, 200, ("a", "b"))], [track], [track], np.random.default_rng(0))
    numbers = evaluate_video_ap(case.truth, case.results).numbers
    assert (numbers["APs"], numbers["APm"], numbers["APl"]) == (1.0, 1.0, -1.0)


def bar(left: int, right: int) -> list[np.ndarray | None]:
    """One frame with a bar from column `left` up to `right`."""
    mask = np.zeros((4, 40), dtype=bool)
    mask[:, left:right] = True
    return [mask]


def test_of_equal_ious_the_later_track_is_taken():
    """As in the official code: so the second detection, which fits the later track alone, goes without."""
    truths = [NaiveTrack(1, 5, bar(0, 20)), NaiveTrack(1, 5, bar(10, 30))]
    found = [NaiveTrack(1, 5, bar(5, 25), 0.9), NaiveTrack(1, 5, bar(11, 31), 0.8)]
    case = to_case([Video(1, 4, 40, ("a",))], truths, found, np.random.default_rng(0))
    numbers = evaluate_video_ap(case.truth, case.results).numbers
    assert numbers == pytest.approx(naive_numbers(truths, found, list(CATEGORIES)), abs=1e-9)
    # At 0.5 to 0.6 one of two tracks is found by the first, at 0.65 to 0.9 by the second after a false alarm.
    assert numbers["AR100"] == pytest.approx(9 * 0.5 / 10)


def test_a_hit_counts_though_the_detection_has_another_size():
    small, large = np.zeros((200, 200), dtype=bool), np.zeros((200, 200), dtype=bool)
    small[:120, :120] = True
    large[:135, :135] = True
    truths, found = [NaiveTrack(1, 5, [small])], [NaiveTrack(1, 5, [large], 0.9)]
    case = to_case([Video(1, 200, 200, ("a",))], truths, found, np.random.default_rng(0))
    numbers = evaluate_video_ap(case.truth, case.results).numbers
    assert numbers == pytest.approx(naive_numbers(truths, found, list(CATEGORIES)), abs=1e-9)
    assert numbers["APs"] == pytest.approx(0.6)  # an IoU of 0.79 passes the thresholds 0.5 to 0.75


def test_only_the_best_hundred_count():
    case = random_case(8, size=(8, 8), per_video=140, scores=1000)
    expected = naive_numbers(case.naive_truths, case.naive_results, list(CATEGORIES))
    assert evaluate_video_ap(case.truth, case.results).numbers == pytest.approx(expected, abs=1e-9)
    # One more good detection below a hundred false alarms changes nothing; above them it does.
    track = case.truth.tracks[0]
    empty = Result(track.video_id, track.category_id, 0.5, (None,) * len(track.segmentations))
    hit = empty._replace(segmentations=track.segmentations)
    alone = case.truth._replace(tracks=(track._replace(is_crowd=False),))
    assert evaluate_video_ap(alone, [*[empty] * 100, hit]).numbers["AR100"] == 0.0
    assert evaluate_video_ap(alone, [*[empty] * 99, hit]).numbers["AR100"] == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_itself_is_perfect(seed: int):
    case = random_case(seed)
    seen = [any(mask is not None and mask.any() for mask in track.masks) for track in case.naive_truths]
    visible = [track for track, is_seen in zip(case.truth.tracks, seen, strict=True) if is_seen]
    truth = case.truth._replace(tracks=tuple(visible))
    results = [Result(t.video_id, t.category_id, 1, t.segmentations) for t in visible if not t.is_crowd]
    numbers = evaluate_video_ap(truth, results).numbers
    assert numbers["AP"] == numbers["AP50"] == numbers["AR100"] == 1.0


def test_no_results_score_zero_and_no_truth_is_undefined():
    case = random_case(0)
    assert evaluate_video_ap(case.truth, []).numbers["AP"] == 0.0
    empty = case.truth._replace(tracks=())
    assert set(evaluate_video_ap(empty, case.results).numbers.values()) == {-1.0}
    assert set(evaluate_video_ap(case.truth, case.results).per_category[700].values()) == {-1.0}


def test_the_number_of_cores_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    case = random_case(7)
    numbers = []
    for cores in (1, 2, 9):
        monkeypatch.setattr(threads, "num_cores", lambda cores=cores: cores)
        numbers.append(evaluate_video_ap(case.truth, case.results))
    assert numbers[0] == numbers[1] == numbers[2]


def test_a_subset_of_videos_counts_alone():
    case = random_case(12)
    chosen = {30, 11}
    expected = naive_numbers(
        [track for track in case.naive_truths if track.video_id in chosen],
        [track for track in case.naive_results if track.video_id in chosen],
        list(CATEGORIES),
    )
    assert evaluate_video_ap(case.truth, case.results, chosen).numbers == pytest.approx(expected, abs=1e-9)
    assert video_ap(match_results(case.truth, case.results), chosen).numbers == pytest.approx(expected, abs=1e-9)


def test_per_category_is_what_the_class_alone_gives():
    case = random_case(5)
    for category_id, numbers in evaluate_video_ap(case.truth, case.results).per_category.items():
        expected = naive_numbers(case.naive_truths, case.naive_results, [category_id])
        assert numbers == pytest.approx(expected, abs=1e-9)


def test_counts_of_zero_inside_a_code_change_nothing():
    """Legal, if odd; pycocotools would stop where two codes have one at the same pixel."""
    plain = {"size": [4, 4], "counts": [2, 6, 8]}
    odd = {"size": [4, 4], "counts": [2, 3, 0, 3, 8]}
    odd = {"size": [4, 4], "counts": coco_mask.frPyObjects(odd, 4, 4)["counts"].decode()}
    videos = (Video(1, 4, 4, ("a",)),)
    for first, second in ((plain, odd), (odd, odd), (odd, plain)):
        truth = VideoSet(
            Path("gt.json"), Path(), videos, (Track(1, 1, 5, (first,), (None,), False),), ((5, "a"),), True
        )
        assert evaluate_video_ap(truth, [Result(1, 5, 1.0, (second,))]).numbers["AP"] == 1.0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"video_id": 99}, "result 1: unknown video_id 99"),
        ({"category_id": 6}, "result 1: unknown category_id 6"),
        ({"score": float("nan")}, "result 1: the score is nan"),
        ({"segmentations": ()}, "result 1: 0 segmentations for a video of"),
    ],
)
def test_results_of_another_set_are_refused(change: dict, fault: str):
    case = random_case(1)
    with pytest.raises(BadInputError, match=fault):
        evaluate_video_ap(case.truth, [case.results[0], case.results[1]._replace(**change)])


def test_unsafe_truth_is_refused_by_name():
    track = Track(77, 1, 5, ({"size": [10**6, 10**6], "counts": [10**12]},), (None,), False)
    truth = VideoSet(Path("gt.json"), Path(), (Video(1, 8, 8, ("a",)),), (track,), ((5, "a"),), True)
    with pytest.raises(BadInputError, match=r"gt.json: annotation 77, frame 0: RLE size"):
        evaluate_video_ap(truth, [])
