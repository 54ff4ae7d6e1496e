import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from marker_set import (
    CATEGORY_OF,
    COLOURS,
    HEIGHT,
    NUM_FRAMES,
    PLAIN,
    WIDTH,
    assert_masks_lie_on_markers,
    assert_well_formed,
    marker_frame,
    marker_masks,
    pixels_of,
    write_marker_videos,
)

from mssts.config import Category
from mssts.data.augmentation import AugmentationConfig
from mssts.data.video_set import load_video_set
from mssts.data.youtube_vis import VideoClips
from mssts.errors import BadInputError

SLOT_OF = {30: 3, 10: 0, 20: 7}
CATEGORIES = tuple(Category(slot, id_, str(id_)) for id_, slot in SLOT_OF.items())
COLOUR_OF_SLOT = {SLOT_OF[CATEGORY_OF[number]]: COLOURS[number] for number in (1, 2, 3)}


def clips(folder: Path, augmentation: AugmentationConfig = PLAIN, **changes: object) -> VideoClips:
    write_marker_videos(folder)
    return VideoClips(load_video_set(folder)._replace(**changes), SLOT_OF, CATEGORIES, augmentation)


def test_every_frame_of_a_video_with_a_usable_track_is_an_item(tmp_path: Path) -> None:
    assert len(clips(tmp_path)) == NUM_FRAMES  # the other video holds nothing but a crowd


@pytest.mark.parametrize("num_frames", [1, 2, 5, 11])
def test_masks_follow_the_pictures(tmp_path: Path, num_frames: int) -> None:
    source = clips(tmp_path)
    for seed in range(25):
        sample = source.sample(seed % len(source), num_frames, np.random.default_rng(seed), 0.0)
        assert_well_formed(sample, num_frames, 8)
        colours = [COLOUR_OF_SLOT[slot] for slot in sample.targets.labels.tolist()]
        assert_masks_lie_on_markers(sample, colours, blurred_px=3)


def test_without_augmentation_clips_are_the_files_content(tmp_path: Path) -> None:
    source = clips(tmp_path, AugmentationConfig(enabled=False))
    sample = source.sample(4, 1, np.random.default_rng(0), 0.0)
    np.testing.assert_array_equal(pixels_of(sample)[0], marker_frame(4))
    np.testing.assert_array_equal(sample.targets.masks[:, 0].numpy(), marker_masks(4)[:3])
    assert sample.targets.labels.tolist() == [3, 0, 7]


def test_an_absent_frame_has_an_empty_mask_and_box_0(tmp_path: Path) -> None:
    source = clips(tmp_path, AugmentationConfig(enabled=False))
    sample = source.sample(3, 11, np.random.default_rng(0), 0.0)
    fleeting = sample.targets.labels.tolist().index(7)
    present = sample.targets.masks[fleeting].any(dim=(1, 2))
    assert present.any()
    assert not present.all()
    assert (sample.targets.boxes_cxcywh[fleeting].any(dim=1) == present).all()


def test_same_seed_same_clip_whatever_torch_draws(tmp_path: Path) -> None:
    source = clips(tmp_path, replace(PLAIN, photometric=True))
    state = torch.random.get_rng_state()
    first = source.sample(5, 5, np.random.default_rng(9), 0.0)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    second = source.sample(5, 5, np.random.default_rng(9), 1.0)
    assert torch.equal(first.frames, second.frames)
    assert all(torch.equal(a, b) for a, b in zip(first.targets, second.targets, strict=True))
    third = source.sample(5, 5, np.random.default_rng(10), 0.0)
    assert third.frames.shape != first.frames.shape or not torch.equal(third.frames, first.frames)


def test_colours_change_alike_in_all_frames(tmp_path: Path) -> None:
    """The upper right corner is one colour in the files; distorted it is another one, the same in all frames."""
    source = clips(tmp_path, replace(PLAIN, photometric=True, crop=0.0, flip=0.0))
    seen = set()
    for seed in range(20):
        corners = pixels_of(source.sample(2, 5, np.random.default_rng(seed), 0.0))[:, 0, -1]
        assert (corners == corners[0]).all()
        seen.add(tuple(corners[0].tolist()))
    assert len(seen) > 5


def test_an_instance_that_no_draw_shows_leaves_an_empty_clip(tmp_path: Path) -> None:
    """A crop of one pixel side almost never meets the only instance, of a single pixel."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[0, 0] = True
    code = {"size": [HEIGHT, WIDTH], "counts": [0, 1, HEIGHT * WIDTH - 1]}
    path = write_marker_videos(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"] = [content["annotations"][0] | {"segmentations": [code] * NUM_FRAMES}]
    path.write_text(json.dumps(content))
    config = replace(PLAIN, crop=1.0, crop_sides=(2, 3), short_sides=(16,))
    source = VideoClips(load_video_set(tmp_path), SLOT_OF, CATEGORIES, config)
    sample = source.sample(0, 3, np.random.default_rng(0), 0.0)
    assert sample.targets.labels.shape == (0,)
    assert_well_formed(sample, 3, 8)


def test_crops_that_miss_are_drawn_again(tmp_path: Path) -> None:
    """A crop shows the lone instance in a minority of draws; of the clips nearly all show it."""
    tracks = load_video_set(write_marker_videos(tmp_path)).tracks[1:2]
    config = replace(PLAIN, crop=1.0, crop_short_sides=(90,), crop_sides=(12, 14), short_sides=(16,), flip=0.0)
    source = clips(tmp_path, config, tracks=tracks)
    found = [len(source.sample(0, 1, np.random.default_rng(seed), 0.0).targets.labels) for seed in range(40)]
    assert sum(found) >= 35


def test_faults_are_named_in_one_line(tmp_path: Path) -> None:
    source = clips(tmp_path)
    frame = tmp_path / "train" / "JPEGImages" / "clip" / "2.png"
    whole = frame.read_bytes()
    for content, reason in ((whole[:150], "cannot be read"), (None, "no such file"), ("small", "9 x 8 pixels")):
        frame.unlink()
        if content == "small":
            from PIL import Image

            Image.new("RGB", (8, 9)).save(frame)
        elif content is not None:
            frame.write_bytes(content)
        with pytest.raises(BadInputError, match=f"clip/2.png: .*{reason}") as caught:
            source.sample(2, 1, np.random.default_rng(0), 0.0)
        assert "\n" not in str(caught.value)
        frame.write_bytes(whole)


def test_broken_segmentation_is_named(tmp_path: Path) -> None:
    path = write_marker_videos(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentations"] = [{"size": [HEIGHT, WIDTH], "counts": [5]}] * NUM_FRAMES
    path.write_text(json.dumps(content))
    source = VideoClips(load_video_set(tmp_path), SLOT_OF, CATEGORIES, PLAIN)
    with pytest.raises(BadInputError, match=r"train.json: annotation 1, frame \d: RLE counts do not add up"):
        source.sample(0, 1, np.random.default_rng(0), 0.0)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no instance to train on"):
        clips(tmp_path, tracks=())
