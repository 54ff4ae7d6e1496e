import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from mssts.data.synthetic import CATEGORIES, MIN_VISIBLE_AREA_PX, SyntheticVideo, synthesize_video
from mssts.data.synthetic_cast import ATTRIBUTES, sample_cast

SMALL = {"height": 64, "width": 112}
SUPERSAMPLING = 4


@pytest.fixture(scope="module")
def hard_videos() -> list[SyntheticVideo]:
    return [synthesize_video(seed, num_frames=12, difficulty=1.0) for seed in range(60)]


@pytest.fixture(scope="module")
def easy_videos() -> list[SyntheticVideo]:
    return [synthesize_video(seed, num_frames=12, difficulty=0.0, **SMALL) for seed in range(40)]


def sizes_and_centres(video: SyntheticVideo) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Presence, sqrt(w * h), w / h (NaN where absent) and centres of the boxes, each [K T ...]."""
    boxes = video.boxes.astype(np.float64)
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    present = (width > 0) & (height > 0)
    width, height = np.where(present, width, np.nan), np.where(present, height, np.nan)
    return present, np.sqrt(width * height), width / height, (boxes[..., :2] + boxes[..., 2:]) / 2


def whole(video: SyntheticVideo) -> np.ndarray:
    """Where an instance is present and its box touches no border: [K T]."""
    height, width = video.frames.shape[1:3]
    x0, y0, x1, y1 = np.moveaxis(video.boxes, -1, 0)
    return (x1 > 0) & (x0 > 0) & (y0 > 0) & (x1 < width) & (y1 < height)


def shows_fast_motion(video: SyntheticVideo) -> bool:
    present, size, _, centre = sizes_and_centres(video)
    moved = np.linalg.norm(np.diff(centre, axis=1), axis=-1)
    return bool((present[:, 1:] & present[:, :-1] & (moved >= 0.3 * np.nan_to_num(size[:, :-1], nan=np.inf))).any())


def shows_change(video: SyntheticVideo, quantity: np.ndarray) -> bool:
    """Whether an instance's quantity varies by more than 1.5, without what the frame's border cuts off."""
    return any(
        values[seen].max() / values[seen].min() > 1.5
        for values, seen in zip(quantity, whole(video), strict=True)
        if seen.any()
    )


def shows_occlusion(video: SyntheticVideo) -> bool:
    """Whether the masks of two instances share a long edge: the one in front cuts into the other."""
    for masks in np.moveaxis(video.masks, 1, 0):
        grown = [ndimage.binary_dilation(mask) for mask in masks]
        for index, mask in enumerate(masks):
            if any((grown[other] & mask).sum() >= 8 for other in range(index)):
                return True
    return False


def shows_leaving(video: SyntheticVideo) -> bool:
    present = np.any(video.masks, axis=(2, 3))
    return bool((np.any(present, axis=1) & ~np.all(present, axis=1)).any())


def shows_same_class(video: SyntheticVideo) -> bool:
    present = np.any(video.masks, axis=(2, 3))
    return any(
        len(set(video.labels[seen].tolist())) < seen.sum() for seen in np.moveaxis(present, 1, 0) if seen.sum() > 1
    )


SHOWS = {
    "fast_motion": shows_fast_motion,
    "size_change": lambda video: shows_change(video, sizes_and_centres(video)[1]),
    "aspect_change": lambda video: shows_change(video, sizes_and_centres(video)[2]),
    "occlusion": shows_occlusion,
    "leaving": shows_leaving,
    "same_class": shows_same_class,
}


def polygon(shape: str) -> np.ndarray:
    """The shape's corners as (u, v), from its geometry alone."""
    if shape == "disc":
        turn = np.linspace(0, 2 * np.pi, 200)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if shape == "square":
        return np.array([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
    if shape == "triangle":
        return np.array([(0, -1), (1, 0.8), (-1, 0.8)])
    # Five petals, of which one points up: from a tip to the next notch the radius falls from 1.1 to 0.48.
    turn = np.linspace(0, 2 * np.pi, 400)
    from_tip = np.abs((turn + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5) / (np.pi / 5)
    radius = 1.1 - 0.62 * from_tip
    return np.stack([radius * np.sin(turn), -radius * np.cos(turn)], axis=1)


def painted_ids(seed: int, frame: int, height: int, width: int) -> np.ndarray:
    """The index of the object seen at each pixel (-1: none), by filling polygons one over the other."""
    actors, _ = sample_cast(np.random.default_rng(seed), height, width, 1.0)
    canvas = Image.new("I", (width * SUPERSAMPLING, height * SUPERSAMPLING), -1)
    draw = ImageDraw.Draw(canvas)
    for index, actor in enumerate(actors):
        pose = actor.motion.pose(frame)
        points = polygon(CATEGORIES[actor.slot].name.split()[1]) * (pose.half_width, pose.half_height)
        turn = np.array([(np.cos(pose.angle), -np.sin(pose.angle)), (np.sin(pose.angle), np.cos(pose.angle))])
        corners = (points @ turn.T + (pose.x, pose.y)) * SUPERSAMPLING
        draw.polygon([tuple(corner) for corner in corners], fill=index)
    half = SUPERSAMPLING // 2
    return np.asarray(canvas)[half::SUPERSAMPLING, half::SUPERSAMPLING]


def best_threshold_iou(frame: np.ndarray, foreground: np.ndarray) -> float:
    """The IoU of the best possible threshold on the colour distance to the background's median."""
    pixels = frame.astype(np.float64)
    distance = np.linalg.norm(pixels - np.median(pixels[~foreground], axis=0), axis=-1)
    hits = np.cumsum(foreground.ravel()[np.argsort(-distance.ravel())])
    return float((hits / (np.arange(1, hits.size + 1) + foreground.sum() - hits)).max())


def test_there_are_eight_classes_of_four_shapes_and_two_textures() -> None:
    assert [category.slot for category in CATEGORIES] == list(range(8))
    assert [category.id for category in CATEGORIES] == list(range(1, 9))
    textures, shapes = zip(*(category.name.split() for category in CATEGORIES), strict=True)
    assert len(set(zip(textures, shapes, strict=True))) == 8
    assert (len(set(textures)), len(set(shapes))) == (2, 4)


def test_a_seed_gives_one_video_whose_beginning_does_not_depend_on_its_length() -> None:
    short, again, long = (synthesize_video(11, num_frames=length, **SMALL) for length in (5, 5, 14))
    for name in ("frames", "masks", "labels", "boxes"):
        assert np.array_equal(getattr(short, name), getattr(again, name))
    assert short.attributes == again.attributes == long.attributes
    assert np.array_equal(short.frames, long.frames[:5])
    assert not np.array_equal(short.frames, synthesize_video(12, num_frames=5, **SMALL).frames)


@pytest.mark.parametrize(("num_frames", "height", "width"), [(1, 32, 48), (3, 70, 41), (4, 128, 224)])
def test_arrays_have_the_sizes_asked_for(num_frames: int, height: int, width: int) -> None:
    video = synthesize_video(3, num_frames=num_frames, height=height, width=width)
    count = len(video.labels)
    assert video.frames.shape == (num_frames, height, width, 3)
    assert video.masks.shape == (count, num_frames, height, width)
    assert video.boxes.shape == (count, num_frames, 4)


def test_masks_are_disjoint_and_large_enough_in_some_frame(hard_videos: list[SyntheticVideo]) -> None:
    for video in hard_videos:
        assert video.masks.sum(axis=0, dtype=np.int64).max() <= 1
        assert (video.masks.sum(axis=(2, 3)).max(axis=1) >= MIN_VISIBLE_AREA_PX).all()
        assert set(video.labels.tolist()) <= set(range(8))


def test_boxes_are_the_extents_of_the_masks(hard_videos: list[SyntheticVideo]) -> None:
    for video in hard_videos[:20]:
        for masks, boxes in zip(video.masks, video.boxes, strict=True):
            for mask, box in zip(masks, boxes, strict=True):
                rows, columns = np.nonzero(mask)
                extents = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if rows.size else [0] * 4
                assert box.tolist() == extents


@pytest.mark.parametrize("seed", range(8))
def test_masks_are_what_is_seen_of_polygons_painted_one_over_the_other(seed: int) -> None:
    video = synthesize_video(seed, num_frames=10)
    for frame in (0, 9):
        ids = painted_ids(seed, frame, 128, 224)
        # Objects that are never seen are not listed, so the masks are compared in order with those that are painted.
        expected = [ids == index for index in range(ids.max() + 1) if (ids == index).sum() > MIN_VISIBLE_AREA_PX]
        masks = [mask for mask in video.masks[:, frame] if mask.sum() > MIN_VISIBLE_AREA_PX]
        assert len(masks) == len(expected)
        for mask, other in zip(masks, expected, strict=True):
            # The polygons are drawn to a quarter of a pixel: the outlines may differ by a pixel here and there.
            outline = np.sum(mask & ~np.asarray(ndimage.binary_erosion(mask), dtype=bool))
            assert (mask ^ other).sum() <= 0.5 * outline + 3


def test_the_picture_shows_the_objects_where_the_masks_are() -> None:
    checked = 0
    for seed in range(10):
        actors, _ = sample_cast(np.random.default_rng(seed), 128, 224, 0.0)
        video = synthesize_video(seed, num_frames=6, difficulty=0.0)
        assert len(actors) == len(video.masks)
        for actor, mask in zip(actors, video.masks[:, 5], strict=True):
            pixels = video.frames[5][ndimage.binary_erosion(mask, iterations=2)].astype(np.float64)
            first, second = actor.colours.astype(np.float64)
            share = np.clip((pixels - first) @ (second - first) / np.sum((second - first) ** 2), 0, 1)
            distance = np.linalg.norm(pixels - first - share[:, None] * (second - first), axis=1)
            # Nothing but the camera's noise, 2 per channel, takes a pixel off the line between the two colours.
            assert np.mean(distance < 8) > 0.99
            assert 0.1 < np.mean(share > 0.5) < 0.95
            checked += 1
    assert checked >= 10


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_at_least_30_percent_of_the_hard_videos_show_each_attribute(
    hard_videos: list[SyntheticVideo], name: str
) -> None:
    shown = [SHOWS[name](video) for video in hard_videos]
    assert np.mean(shown) >= 0.3


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_videos_show_what_they_were_built_to_show(hard_videos: list[SyntheticVideo], name: str) -> None:
    built = [SHOWS[name](video) for video in hard_videos if name in video.attributes]
    assert len(built) >= 15
    # An object may be hidden by another, or cut off by the border, while it is largest, smallest, widest or tallest.
    assert np.mean(built) >= (0.7 if name in {"size_change", "aspect_change"} else 0.95)


def test_easy_videos_are_plain(easy_videos: list[SyntheticVideo]) -> None:
    for video in easy_videos:
        assert 1 <= len(video.masks) <= 3
        assert not video.attributes
        assert not shows_fast_motion(video)
        assert not shows_leaving(video)
    assert np.mean([shows_occlusion(video) for video in easy_videos]) < 0.1


def test_a_colour_threshold_does_not_find_the_objects_of_hard_videos(
    hard_videos: list[SyntheticVideo], easy_videos: list[SyntheticVideo]
) -> None:
    hard, easy = (
        np.mean([best_threshold_iou(video.frames[0], np.any(video.masks[:, 0], axis=0)) for video in videos])
        for videos in (hard_videos, easy_videos)
    )
    assert hard < 0.6
    # The same baseline does find plain objects, so it is not the baseline that fails.
    assert easy > 0.75


def test_colour_says_nothing_about_the_class() -> None:
    random = np.random.default_rng(0)
    colours: list[list[np.ndarray]] = [[] for _ in CATEGORIES]
    for _ in range(900):
        for actor in sample_cast(random, 128, 224, 1.0)[0]:
            colours[actor.slot].append(actor.colours.ravel())
    means = np.stack([np.mean(rows, axis=0) for rows in colours])
    # A class has about 370 objects; the standard error of the mean of as many colours is 3.5.
    assert min(len(rows) for rows in colours) > 250
    assert np.abs(means - means.mean(axis=0)).max() < 16


def test_the_background_moves() -> None:
    moved = []
    for seed in range(12):
        video = synthesize_video(seed, num_frames=12)
        objects = np.any(video.masks[:, [0, 11]], axis=(0, 1))
        still = ~np.asarray(ndimage.binary_dilation(objects, iterations=3), dtype=bool)
        difference = np.abs(video.frames[11].astype(int) - video.frames[0])[still]
        moved.append(difference.mean())
    # Two frames of a background at rest differ by their noise alone: 6 per channel, hence 6.8 on average.
    assert np.median(moved) > 10
