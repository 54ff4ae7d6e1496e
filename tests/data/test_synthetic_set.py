from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mssts.data.synthetic_set as module
from mssts.data.rle import decode
from mssts.data.synthetic import CATEGORIES, SyntheticVideo, boxes_of, synthesize_video
from mssts.data.synthetic_cast import ATTRIBUTES
from mssts.data.synthetic_set import DEFAULT_DIFFICULTY, shown_attributes, video_recipe, write_synthetic_set
from mssts.data.video_set import load_video_set
from mssts.errors import BadInputError

SMALL = {"height": 64, "width": 112, "progress": False}


def video_of(seed: int, split: str, index: int, difficulty: float = DEFAULT_DIFFICULTY, **size: int) -> SyntheticVideo:
    recipe = video_recipe(seed, split, index, difficulty=difficulty)
    return synthesize_video(
        recipe.seed, num_frames=recipe.num_frames, difficulty=difficulty, attributes=recipe.attributes, **size
    )


@pytest.fixture(scope="module")
def default_videos() -> list[SyntheticVideo]:
    return [video_of(4242, "valid", index) for index in range(60)]


def test_a_written_set_holds_the_truth_of_its_videos(tmp_path: Path) -> None:
    summary = write_synthetic_set(tmp_path, "valid", 5, 17, **SMALL)
    read = load_video_set(tmp_path, "valid")
    tracks = read.tracks_by_video()
    assert read.categories == tuple((category.id, category.name) for category in CATEGORIES)
    assert summary.counts.num_videos == len(read.videos) == 5
    assert summary.counts.num_frames == sum(len(video.file_names) for video in read.videos)
    for index, video in enumerate(read.videos):
        truth = video_of(17, "valid", index, height=64, width=112)
        assert (len(video.file_names), video.height, video.width) == truth.frames.shape[:3]
        assert video.file_names[0] == f"{index:05d}/00000.jpg"
        frames = np.stack([np.asarray(Image.open(read.image_root / name)) for name in video.file_names])
        # The camera's noise is 4 levels at this difficulty.
        assert np.sqrt(np.mean((frames.astype(float) - truth.frames) ** 2)) < 5
        assert [track.category_id for track in tracks[video.id]] == [CATEGORIES[label].id for label in truth.labels]
        for track, masks, boxes in zip(tracks[video.id], truth.masks, truth.boxes, strict=True):
            assert not track.is_crowd
            for code, box, mask, (x0, y0, x1, y1) in zip(
                track.segmentations, track.boxes_xywh, masks, boxes.tolist(), strict=True
            ):
                assert (code is None) == (box is None) == (not mask.any())
                if code is not None:
                    assert np.array_equal(decode(code, 64, 112), mask)
                    assert box == (x0, y0, x1 - x0, y1 - y0)


def test_the_same_seed_gives_the_same_bytes_and_more_videos_begin_with_the_fewer(tmp_path: Path) -> None:
    for name, count in (("a", 2), ("b", 2), ("c", 3)):
        write_synthetic_set(tmp_path / name, "train", count, 5, **SMALL)
    write_synthetic_set(tmp_path / "other", "train", 2, 6, **SMALL)
    a, b, c, other = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("a", "b", "c", "other")
    )
    assert a == b
    pictures = {path: data for path, data in a.items() if path.suffix == ".jpg"}
    assert pictures.items() <= c.items()
    assert not set(pictures.values()) & set(other.values())


def test_no_video_of_a_set_shares_its_random_numbers_with_a_training_video_or_another_split() -> None:
    def state(seed: int | np.random.SeedSequence) -> tuple[int, ...]:
        sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        return tuple(sequence.generate_state(4).tolist())

    plain = {state(seed) for start in (0, 4242, 1_000_000, 2**32, 2**64) for seed in range(start, start + 500)}
    sets = [
        state(video_recipe(seed, split, index).seed)
        for seed in (0, 1, 4242, 999_999, 1_000_000)
        for split in ("train", "valid")
        for index in range(40)
    ]
    assert len(set(sets)) == len(sets)
    assert not plain & set(sets)


def test_lengths_spread_over_the_whole_range() -> None:
    lengths = [video_recipe(1, "valid", index).num_frames for index in range(500)]
    assert set(lengths) == set(range(12, 37))
    assert {video_recipe(1, "valid", index, 7, 7).num_frames for index in range(20)} == {7}


@pytest.mark.parametrize("seed", [0, 1, 4242, 999_999])
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_ten_videos_are_built_to_show_each_attribute_equally_often(seed: int, name: str) -> None:
    built = np.array([name in video_recipe(seed, "valid", index).attributes for index in range(60)])
    assert built.reshape(6, 10).sum(axis=1).tolist() == [4] * 6


def test_attributes_are_built_in_independently_of_each_other() -> None:
    built = np.array([[name in video_recipe(3, "valid", i).attributes for name in ATTRIBUTES] for i in range(1000)])
    correlation = np.corrcoef(built.T.astype(float)) - np.eye(len(ATTRIBUTES))
    # The standard error of a correlation of nothing over 1000 videos is 0.03.
    assert np.abs(correlation).max() < 0.13


def test_plain_videos_are_built_to_show_nothing() -> None:
    assert not any(video_recipe(1, "valid", index, difficulty=0.0).attributes for index in range(20))


def test_the_default_set_poses_the_difficulties_of_the_paper(default_videos: list[SyntheticVideo]) -> None:
    counts = [len(video.labels) for video in default_videos]
    assert (min(counts), max(counts)) == (1, 5)
    assert {label for video in default_videos for label in video.labels.tolist()} == set(range(8))
    shown = [shown_attributes(video) for video in default_videos]
    for name in ATTRIBUTES:
        assert np.mean([name in names for names in shown]) >= 0.35
    # What is built in is seen, but where the border or another object hides it.
    pairs = [
        (name, name in names) for video, names in zip(default_videos, shown, strict=True) for name in video.attributes
    ]
    assert np.mean([seen for _, seen in pairs]) > 0.93


def test_a_colour_threshold_does_not_solve_the_default_set(default_videos: list[SyntheticVideo]) -> None:
    ious = []
    for video in default_videos:
        pixels, foreground = video.frames[0].astype(float), video.masks[:, 0].any(axis=0)
        if foreground.any():
            distance = np.linalg.norm(pixels - np.median(pixels[~foreground], axis=0), axis=-1)
            hits = np.cumsum(foreground.ravel()[np.argsort(-distance.ravel())])
            # The best threshold of all, chosen with the truth at hand.
            ious.append((hits / (np.arange(1, hits.size + 1) + foreground.sum() - hits)).max())
    assert np.mean(ious) < 0.65


def hand_made(masks: np.ndarray, labels: list[int]) -> SyntheticVideo:
    boxes = boxes_of(masks)
    frames = np.zeros((*masks.shape[1:], 3), dtype=np.uint8)
    return SyntheticVideo(frames, masks, np.array(labels), boxes)


def test_shown_attributes_are_read_from_the_truth() -> None:
    masks = np.zeros((2, 3, 40, 60), dtype=bool)
    masks[0, :, 5:25, 5:25] = True
    masks[1, :, 5:25, 35:55] = True
    assert shown_attributes(hand_made(masks, [0, 1])) == set()
    assert shown_attributes(hand_made(masks, [2, 2])) == {"same_class"}
    gone = masks.copy()
    gone[1, 2] = False
    assert shown_attributes(hand_made(gone, [0, 1])) == {"leaving"}
    # Of the same class, but never visible together.
    apart = gone.copy()
    apart[0, :2] = False
    assert shown_attributes(hand_made(apart, [0, 0])) == {"leaving"}
    beside = masks.copy()
    beside[1] = np.roll(masks[1], -10, axis=-1)
    assert shown_attributes(hand_made(beside, [0, 1])) == {"occlusion"}
    corner = masks.copy()
    corner[1] = np.roll(masks[1], (18, -10), axis=(-2, -1))
    assert shown_attributes(hand_made(corner, [0, 1])) == set()
    bigger = masks.copy()
    bigger[0, 2, 3:27, 3:29] = True
    assert shown_attributes(hand_made(bigger, [0, 1])) == {"size_change"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_run_leaves_no_annotations_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    render = module.synthesize_video
    calls = []

    def fail_at_the_second(*arguments: object, **options: object) -> SyntheticVideo:
        calls.append(1)
        if len(calls) == 2:
            raise error
        return render(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "synthesize_video", fail_at_the_second)
        with pytest.raises(error):
            write_synthetic_set(tmp_path, "valid", 3, 1, **SMALL)
    assert not list(tmp_path.rglob("*.*"))
    write_synthetic_set(tmp_path, "valid", 1, 1, **SMALL)
    with pytest.raises(BadInputError, match="exists already"):
        write_synthetic_set(tmp_path, "valid", 1, 1, **SMALL)
