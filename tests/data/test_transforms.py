import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mssts.data.augmentation import AugmentationConfig
from mssts.data.geometry import Crop, Geometry, draw_crop, draw_resize, resized
from mssts.data.transforms import draw_geometry

SIZES = st.tuples(st.integers(100, 1500), st.integers(100, 1500)).filter(lambda size: max(size) < 3 * min(size))


@given(SIZES, st.integers(0, 10**6))
def test_recipe_sizes(size: tuple[int, int], seed: int) -> None:
    config = AugmentationConfig()
    geometry = draw_geometry(config, size, np.random.default_rng(seed))
    *before, last = geometry.steps
    source = size
    if before:
        first, crop = before
        assert isinstance(crop, Crop)
        assert not isinstance(first, Crop)
        assert min(first) in config.crop_short_sides
        assert abs(max(first) / min(first) - max(size) / min(size)) < 1 / min(first)
        for start, part, whole in ((crop.top, crop.height, first[0]), (crop.left, crop.width, first[1])):
            assert 384 <= part <= 600
            assert 0 <= start <= whole - part
        source = (crop.height, crop.width)
    assert not isinstance(last, Crop)
    assert (min(last) in config.short_sides and max(last) <= 768) or max(last) == 768
    assert abs(last[0] / last[1] - source[0] / source[1]) < 2 * max(last) / min(last) ** 2
    assert geometry.target == last


@pytest.mark.parametrize(
    ("size", "short_side", "limit", "expected"),
    [
        ((720, 1280), 360, None, (360, 640)),
        ((720, 1280), 480, 768, (432, 768)),
        ((1280, 720), 480, 768, (768, 432)),
        ((480, 640), 512, 768, (512, 682)),
        ((100, 100), 288, 200, (200, 200)),
    ],
)
def test_resized(size: tuple[int, int], short_side: int, limit: int | None, expected: tuple[int, int]) -> None:
    assert resized(size, short_side, limit) == expected


def test_draws_are_spread_over_the_choices() -> None:
    random = np.random.default_rng(0)
    drawn = [draw_geometry(AugmentationConfig(), (720, 1280), random) for _ in range(2000)]
    assert 0.46 < np.mean([geometry.flip for geometry in drawn]) < 0.54
    assert 0.46 < np.mean([len(geometry.steps) == 3 for geometry in drawn]) < 0.54
    shorts = {min(draw_resize((400, 400), (288, 320, 352), 768, random)) for _ in range(50)}
    assert shorts == {288, 320, 352}
    crops = [draw_crop((7, 500), (5, 6), random) for _ in range(300)]
    assert {(crop.top, crop.height) for crop in crops} == {(0, 5), (1, 5), (2, 5), (0, 6), (1, 6)}
    assert {crop.width for crop in crops} == {5, 6}
    lefts = [crop.left for crop in crops]
    assert min(lefts) < 20
    assert max(lefts) > 480


def test_crops_of_frames_smaller_than_the_range_take_the_whole_side() -> None:
    assert draw_crop((30, 200), (50, 60), np.random.default_rng(0))[:3:2] == (0, 30)


@given(st.tuples(st.integers(3, 60), st.integers(3, 60)), st.booleans(), st.integers(0, 10**6))
def test_masks_are_nearest_neighbours_between_pixel_centres(size: tuple[int, int], flip: bool, seed: int) -> None:
    """Compared with PyTorch's exact nearest resizing."""
    random = np.random.default_rng(seed)
    mask = random.random(size) < 0.5
    height, width = (int(side) for side in random.integers(3, 70, 2))
    crop = draw_crop((height, width), (2, 50), random)
    expected = torch.from_numpy(mask.astype(np.uint8))[None, None]
    expected = F.interpolate(expected.flip(-1) if flip else expected, (height, width), mode="nearest-exact")[
        0, 0
    ].bool()
    expected = expected[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width].numpy()
    found = Geometry(size, flip, ((height, width), crop)).apply_to_mask(np.asfortranarray(mask))
    # A centre between two pixels of the source belongs to either: rows and columns without ties agree.
    rows, columns = (
        (2 * np.arange(target) + 1) * source % (2 * target) != 0
        for target, source in zip((height, width), size, strict=True)
    )
    rows, columns = rows[crop.top : crop.top + crop.height], columns[crop.left : crop.left + crop.width]
    np.testing.assert_array_equal(found[np.ix_(rows, columns)], expected[np.ix_(rows, columns)])


def test_frames_and_masks_move_together_to_a_fraction_of_a_pixel() -> None:
    """The centre of gravity of a white disc and of its mask, through an odd reduction and a crop."""
    y, x = np.mgrid[:301, :403] + 0.5
    disc = (y - 150) ** 2 + (x - 170) ** 2 < 80**2
    frame = np.repeat(disc[..., None] * np.uint8(255), 3, axis=2)
    for flip in (False, True):
        geometry = Geometry((301, 403), flip, ((200, 268), Crop(3, 5, 190, 250), (95, 125)))
        picture, mask = (
            geometry.apply_to_frame(frame)[0].double(),
            torch.from_numpy(geometry.apply_to_mask(disc).copy()),
        )
        assert picture.shape == mask.shape == geometry.target
        for axis in range(2):
            places = torch.arange(picture.shape[axis]).double()
            weights = picture.sum(1 - axis), mask.double().sum(1 - axis)
            bright, masked = (float((weight * places).sum() / weight.sum()) for weight in weights)
            assert abs(bright - masked) < 0.1


def test_flip_mirrors() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    mask = frame[..., 0] > 99
    geometry = Geometry((6, 9), flip=True, steps=())
    np.testing.assert_array_equal(geometry.apply_to_frame(frame).permute(1, 2, 0).numpy(), frame[:, ::-1])
    np.testing.assert_array_equal(geometry.apply_to_mask(mask), mask[:, ::-1])


def test_switched_off_nothing_happens() -> None:
    geometry = draw_geometry(AugmentationConfig(enabled=False), (31, 47), np.random.default_rng(0))
    assert geometry == Geometry((31, 47), flip=False, steps=())
    assert geometry.target == (31, 47)


@pytest.mark.parametrize(
    ("field", "value"),
    [("flip", 1.5), ("crop", -0.1), ("short_sides", ()), ("crop_sides", (9, 5)), ("max_long_side", 0)],
)
def test_impossible_configurations_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        AugmentationConfig(**{field: value})  # pyright: ignore[reportArgumentType]
