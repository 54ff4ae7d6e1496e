import colorsys
from itertools import permutations

import numpy as np
import pytest

from mssts.data.photometric import FACTORS, MAX_BRIGHTNESS, MAX_HUE, Distortion, distort, draw_distortion


def naive_pixel(pixel: np.ndarray, distortion: Distortion, contrast_first: bool) -> np.ndarray:
    """The chain step by step through the standard library's HSV."""
    red, green, blue = pixel.astype(float) + distortion.brightness
    scale = 1000.0  # HSV wants 0..1 and must not clip values above 255
    if contrast_first:
        red, green, blue = (value * distortion.contrast for value in (red, green, blue))
    hue, saturation, value = colorsys.rgb_to_hsv(red / scale, green / scale, blue / scale)
    saturation = max(0, saturation * distortion.saturation + distortion.saturation_shift)
    # Saturation above 1 is meaningful: the smaller channels go below 0 and are clipped at the end.
    turned = np.array(colorsys.hsv_to_rgb((hue + distortion.hue / 360) % 1, 1.0, 1.0))
    colour = value * (1 - saturation * (1 - turned)) * scale
    if not contrast_first:
        colour = colour * distortion.contrast
    return np.clip(colour[list(distortion.channels)], 0, 255)


@pytest.mark.parametrize("contrast_first", [True, False])
def test_chain_is_that_of_the_standard_library(contrast_first: bool) -> None:
    random = np.random.default_rng(0)
    for seed in range(60):
        # Brightness does not go below 0, where HSV has no meaning.
        image = random.integers(33, 256, (1, 8, 3), dtype=np.uint8)
        distortion = draw_distortion(np.random.default_rng(seed))
        if seed % 4 == 0:
            distortion = distortion._replace(saturation_shift=0.02)
        expected = np.array([naive_pixel(pixel, distortion, contrast_first) for pixel in image[0]])
        np.testing.assert_allclose(distort(image, distortion)[0], expected, atol=0.51)


def test_large_images_are_treated_like_small_ones() -> None:
    """Pixels are worked on in tiles; every pixel must still be that of its own place."""
    image = np.random.default_rng(0).integers(0, 256, (230, 310, 3), dtype=np.uint8)
    distortion = Distortion(9.0, 1.2, 0.7, -11.0, 0.0, (2, 0, 1))
    rows = np.concatenate([distort(np.ascontiguousarray(row[None]), distortion) for row in image])
    np.testing.assert_array_equal(distort(image, distortion), rows)


def test_nothing_drawn_changes_nothing_and_grey_keeps_its_hue() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(distort(image, Distortion()), image)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(distort(grey, Distortion(saturation=1.5, hue=18.0)), grey)


def test_draws_cover_their_ranges_half_of_the_time() -> None:
    drawn = [draw_distortion(np.random.default_rng(seed)) for seed in range(3000)]
    for name, low, high, idle in (
        ("brightness", -MAX_BRIGHTNESS, MAX_BRIGHTNESS, 0.0),
        ("contrast", *FACTORS, 1.0),
        ("saturation", *FACTORS, 1.0),
        ("hue", -MAX_HUE, MAX_HUE, 0.0),
    ):
        values = np.array([getattr(distortion, name) for distortion in drawn])
        active = values[values != idle]
        assert 0.46 < len(active) / len(values) < 0.54
        assert low <= active.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < active.max() <= high
    orders = [distortion.channels for distortion in drawn]
    assert set(orders) == set(permutations(range(3)))
    assert 0.54 < np.mean([order == (0, 1, 2) for order in orders]) < 0.63  # 1/2, and 1/6 of the other half
