"""One colour per track: the same in every frame, in every run, in the overlay and in the mask files.

Hues step by the golden angle through OKLCH, a perceptual colour space: tracks with neighbouring ids land far apart,
and every colour is bright enough for black letters.
"""

from functools import lru_cache
from math import cos, radians, sin
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

GOLDEN_ANGLE_DEG = 137.508
FIRST_HUE_DEG = 250.0
# Hues come close again after 5, 8 and 13 steps. Cycling through three tones keeps ids 5, 8, 10 or 13 apart distinct.
TONES = ((0.73, 0.17), (0.67, 0.21), (0.80, 0.14))
# A dark yellow is brown and a dark lime olive: both are lifted.
YELLOW_HUE_DEG = 105.0
YELLOW_LIFT = 0.12


class Rgb(NamedTuple):
    """A colour with 8 bits per channel, gamma-encoded sRGB."""

    red: int
    green: int
    blue: int


BLACK = Rgb(0, 0, 0)


def _linear_rgb(lightness: float, chroma: float, hue_deg: float) -> tuple[float, float, float]:
    """Linear-light sRGB of an OKLCH colour; channels outside [0, 1] do not exist on a screen."""
    a, b = chroma * cos(radians(hue_deg)), chroma * sin(radians(hue_deg))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _encode(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    encoded = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * encoded)


@lru_cache(maxsize=4096)
def track_color(track_id: int) -> Rgb:
    """The colour of a track, which depends on nothing but its id (1 and up)."""
    lightness, chroma = TONES[(track_id - 1) % len(TONES)]
    hue_deg = (FIRST_HUE_DEG + (track_id - 1) * GOLDEN_ANGLE_DEG) % 360
    lightness += YELLOW_LIFT * max(0.0, cos(radians(hue_deg - YELLOW_HUE_DEG))) ** 2
    # Not every hue reaches the wanted chroma on a screen: grey it as little as needed, so that the hue stays true.
    while not all(-1e-3 <= channel <= 1.001 for channel in _linear_rgb(lightness, chroma, hue_deg)):
        chroma *= 0.97
    return Rgb(*(_encode(channel) for channel in _linear_rgb(lightness, chroma, hue_deg)))


def id_palette(num_ids: int) -> UInt8[np.ndarray, "ids 3"]:
    """Colours of the ids 0 (background, black) to `num_ids - 1`, for a palette image."""
    return np.array([BLACK, *(track_color(track_id) for track_id in range(1, num_ids))], dtype=np.uint8)
