"""The shapes and textures of synthetic videos, as functions of an object's own coordinates, and their colours."""

import numpy as np
from jaxtyping import Float

SHAPES = ("disc", "square", "triangle", "star")
TEXTURES = ("striped", "dotted")
# The class slot counts through the textures first.
APPEARANCES = tuple((shape, texture_name) for shape in SHAPES for texture_name in TEXTURES)
# No shape reaches further from its centre than this, in units of the larger half size: a corner of the square.
REACH = 1.28


def outline(
    shape: str, u: Float[np.ndarray, "*points"], v: Float[np.ndarray, "*points"]
) -> Float[np.ndarray, "*points"]:
    """How far points are outside the shape, negative inside, in units of its half size; exact only at the edge.

    Args:
        shape: One of `SHAPES`.
        u: To the right, where the shape fills about -1..1.
        v: Down, likewise.
    """
    if shape == "disc":
        return np.hypot(u, v) - 1
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.9
    if shape == "triangle":
        # A slanted side's gradient is (1.8, -1), 2.06 long.
        return np.maximum(v - 0.8, (1.8 * np.abs(u) - 1 - v) / 2.06)
    turn = np.arctan2(u, -v) / (2 * np.pi)
    tooth = np.abs((turn * 5 + 0.5) % 1 - 0.5) * 2
    return np.hypot(u, v) - 1.1 + 0.62 * tooth


def texture(
    name: str, u: Float[np.ndarray, "*points"], v: Float[np.ndarray, "*points"], fineness: float
) -> Float[np.ndarray, "*points"]:
    """The share (0..1) of the first colour at each point, with soft transitions.

    Args:
        name: One of `TEXTURES`.
        u: Across the stripes.
        v: Along them.
        fineness: Half-waves per unit.
    """
    wave = np.sin(u * np.float32(fineness * np.pi))
    if name == "striped":
        return np.clip(0.5 + 2.5 * wave, 0, 1)
    dots = (wave * np.sin(v * np.float32(fineness * np.pi))) ** 2
    return np.clip(0.5 + 3 * (dots - 0.35), 0, 1)


def two_colours(random: np.random.Generator) -> Float[np.ndarray, "2 3"]:
    """Two colours (0..255) that can be told apart."""
    while True:
        colours = random.uniform(10, 245, (2, 3)).astype(np.float32)
        if np.abs(colours[0] - colours[1]).sum() > 200:
            return colours
