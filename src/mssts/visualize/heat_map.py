"""Lays a heat map over a picture: cold is dark blue and lets the picture through, hot is yellow and covers it more."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

# Dark blue, violet, red, orange, pale yellow: brighter all the way, so that it also reads without colours.
_STOPS = np.array([(18, 14, 60), (92, 24, 128), (196, 50, 90), (246, 136, 34), (253, 240, 150)], dtype=np.float32)
COLD_OPACITY, HOT_OPACITY = 0.45, 0.75


def heat_colors(heat: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 3"]:
    """Colours (0..255) of shares 0..1."""
    places = np.linspace(0.0, 1.0, len(_STOPS))
    channels = [np.interp(heat, places, _STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def draw_heat_map(image: UInt8[np.ndarray, "H W 3"], heat: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "H W 3"]:
    """The picture in grey under the colours of the map, which is brought to the picture's size (bilinear).

    Args:
        image: The frame.
        heat: Shares 0..1 on a grid that spans the frame.
    """
    height, width, _ = image.shape
    small = Image.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    large = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))
    opacity = COLD_OPACITY + (HOT_OPACITY - COLD_OPACITY) * large[..., None]
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32)[..., None]
    return (heat_colors(large) * opacity + grey * (1 - opacity)).round().astype(np.uint8)
