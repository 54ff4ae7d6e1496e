import json
from pathlib import Path

import numpy as np
import pytest
import torch
from marker_set import (
    CATEGORY_OF,
    COLOURS,
    HEIGHT,
    PLAIN,
    WIDTH,
    assert_masks_lie_on_markers,
    assert_well_formed,
    marker_frame,
    marker_masks,
    pixels_of,
    write_marker_images,
)

from mssts.config import Category
from mssts.data.augmentation import AugmentationConfig
from mssts.data.coco import CocoClips
from mssts.data.coco_set import load_coco
from mssts.data.image_warps import Warp, draw_warp, homography
from mssts.data.photometric import Distortion
from mssts.errors import BadInputError

SLOT_OF = {30: 3, 10: 0, 20: 7}
CATEGORIES = tuple(Category(slot, id_, str(id_)) for id_, slot in SLOT_OF.items())
COLOUR_OF_SLOT = {SLOT_OF[CATEGORY_OF[number]]: COLOURS[number] for number in (1, 2, 3)}
UNCHANGED = AugmentationConfig(enabled=False)


def clips(folder: Path, augmentation: AugmentationConfig = PLAIN) -> CocoClips:
    write_marker_images(folder)
    return CocoClips(load_coco(folder), SLOT_OF, CATEGORIES, augmentation)


def test_images_without_instances_or_with_too_many_are_no_items(tmp_path: Path) -> None:
    assert len(clips(tmp_path)) == 1


def test_one_frame_is_the_image_without_its_crowd(tmp_path: Path) -> None:
    sample = clips(tmp_path, UNCHANGED).sample(0, 1, np.random.default_rng(0), 0.0)
    np.testing.assert_array_equal(pixels_of(sample)[0], marker_frame(0))
    np.testing.assert_array_equal(sample.targets.masks[:, 0].numpy(), marker_masks(0)[:3])


def test_the_image_itself_is_one_of_the_frames_at_any_place(tmp_path: Path) -> None:
    source = clips(tmp_path, UNCHANGED)
    places = set()
    for seed in range(30):
        pixels = pixels_of(source.sample(0, 4, np.random.default_rng(seed), 0.0))
        (place,) = [number for number, frame in enumerate(pixels) if np.array_equal(frame, marker_frame(0))]
        places.add(place)
    assert places == {0, 1, 2, 3}


def test_masks_follow_the_warps(tmp_path: Path) -> None:
    source = clips(tmp_path)
    for seed in range(40):
        sample = source.sample(0, 5, np.random.default_rng(seed), 0.0)
        assert_well_formed(sample, 5, 8)
        colours = [COLOUR_OF_SLOT[slot] for slot in sample.targets.labels.tolist()]
        # Motion blur smears by up to 5 pixels, before resizing by up to 2.
        assert_masks_lie_on_markers(sample, colours, blurred_px=12)


def test_warps_without_blur_move_masks_and_pictures_alike_to_a_fraction_of_a_pixel() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    disc = (y - 45) ** 2 + (x - 60) ** 2 < 9**2
    picture = np.repeat(disc[..., None] * np.uint8(255), 3, axis=2)
    errors = []
    for seed in range(60):
        warp = draw_warp(HEIGHT, WIDTH, np.random.default_rng(seed))._replace(colours=Distortion(), blur=None)
        moved, mask = warp.apply_to_image(picture)[..., 0].astype(float), warp.apply_to_masks(disc[None])[0]
        centre = np.array([(moved * x).sum(), (moved * y).sum()]) / moved.sum()
        errors.append(centre - (x[mask].mean(), y[mask].mean()))
        # The homography leads from there to the disc's centre in the image.
        back = np.array([*warp.coefficients, 1.0]).reshape(3, 3) @ (*centre, 1.0)
        np.testing.assert_allclose(back[:2] / back[2], (60, 45), atol=0.5)
    assert np.abs(errors).max() < 0.4
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03


def test_homography_maps_the_corners() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        source = np.array([[0, 0], [9, 0], [9, 7], [0, 7]]) + random.uniform(-1, 1, (4, 2))
        target = np.array([[0, 0], [30, 0], [30, 20], [0, 20]]) + random.uniform(-4, 4, (4, 2))
        matrix = np.array([*homography(source, target), 1.0]).reshape(3, 3)
        mapped = np.c_[source, np.ones(4)] @ matrix.T
        np.testing.assert_allclose(mapped[:, :2] / mapped[:, 2:], target, atol=1e-9)


def test_ranges_of_the_warps() -> None:
    """The image's centre moves by the translation, up to what perspective adds; blur comes in a quarter of them."""
    height, width = 300, 400
    warps = [draw_warp(height, width, np.random.default_rng(seed)) for seed in range(1500)]
    brightness = [warp.colours.brightness for warp in warps]
    assert -40 <= min(brightness) < -38
    assert 38 < max(brightness) <= 40
    assert max(abs(warp.colours.saturation_shift) for warp in warps) <= 5 / 255
    assert max(abs(warp.colours.hue) for warp in warps) <= 5 / 255 * 360
    blurs = [warp.blur for warp in warps if warp.blur is not None]
    assert 0.21 < len(blurs) / len(warps) < 0.29
    assert {blur.shape for blur in blurs} == {(9, 9), (11, 11)}
    assert all(abs(blur.sum() - 1) < 1e-5 and 5 < (blur > 0).sum() < 30 for blur in blurs)
    angles = []
    for warp in warps:
        matrix = np.linalg.inv(np.array([*warp.coefficients, 1.0]).reshape(3, 3))
        left, right = (matrix @ (x, height / 2, 1.0) for x in (width / 2 - 1, width / 2 + 1))
        rise = right[:2] / right[2] - left[:2] / left[2]
        angles.append(np.degrees(np.arctan2(rise[1], rise[0])))
    assert 10 < np.std(angles) < 16  # 11.5 from the rotation, the rest from perspective
    assert abs(np.mean(angles)) < 1.5


def test_blur_smears_along_its_line_and_keeps_the_light() -> None:
    image = np.zeros((40, 50, 3), dtype=np.uint8)
    image[20, 25] = 255
    blur = np.zeros((9, 9), dtype=np.float32)
    blur[4] = 1 / 9
    warp = Warp((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0), Distortion(), blur)
    blurred = warp.apply_to_image(image)[..., 0]
    assert np.flatnonzero(blurred.any(axis=1)).tolist() == [20]
    assert np.flatnonzero(blurred.any(axis=0)).tolist() == list(range(21, 30))


def test_same_seed_same_clip_whatever_torch_draws(tmp_path: Path) -> None:
    source = clips(tmp_path)
    state = torch.random.get_rng_state()
    first, second = (source.sample(0, 5, np.random.default_rng(9), 0.0) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.frames, second.frames)
    assert torch.equal(first.targets.masks, second.targets.masks)


def _no_images(content: dict) -> None:
    del content["images"]


def _twice(content: dict) -> None:
    content["images"].append(content["images"][0])


def _unknown_image(content: dict) -> None:
    content["annotations"][3]["image_id"] = 99


def _unknown_category(content: dict) -> None:
    content["annotations"][3]["category_id"] = 99


def _lost_image(content: dict) -> None:
    content["images"][0]["file_name"] = "lost.png"


def _impossible_size(content: dict) -> None:
    content["images"][1]["height"] = -1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_no_images, "images"),
        (_twice, "twice"),
        (_unknown_image, r"annotations\[3\]: unknown image_id 99"),
        (_unknown_category, r"annotations\[3\]: unknown category_id 99"),
        (_lost_image, "lost.png was not found"),
        (_impossible_size, r"images\[1\]"),
    ],
)
def test_faults_of_the_file_are_named_in_one_line(tmp_path: Path, spoil: object, reason: str) -> None:
    path = write_marker_images(tmp_path)
    content = json.loads(path.read_text())
    spoil(content)  # pyright: ignore[reportCallIssue]
    path.write_text(json.dumps(content))
    with pytest.raises(BadInputError, match=reason) as caught:
        load_coco(tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_segmentation_is_named(tmp_path: Path) -> None:
    path = write_marker_images(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][1]["segmentation"] = [[1, 2, 3]]
    path.write_text(json.dumps(content))
    source = CocoClips(load_coco(path), SLOT_OF, CATEGORIES, PLAIN)
    with pytest.raises(BadInputError, match="annotation 1: polygon 0 has 3 coordinates"):
        source.sample(0, 1, np.random.default_rng(0), 0.0)
