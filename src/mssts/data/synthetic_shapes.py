"""The shapes and textures of synthetic videos, as functions of an object's own coordinates."""

import numpy as np
from jaxtyping import Bool, Float

SHAPES = ("disc", "square", "triangle", "star")
TEXTURES = ("striped", "dotted")
Coordinates = Float[np.ndarray, "h w"]


def inside(shape: str, u: Coordinates, v: Coordinates) -> Bool[np.ndarray, "h w"]:
    """Whether points are in the shape, which fills about -1..1 in both coordinates."""
    if shape == "disc":
        return u**2 + v**2 <= 1
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= 0.9
    if shape == "triangle":
        return (v <= 0.8) & (v >= 2 * np.abs(u) * 0.9 - 1)
    radius, angle = np.hypot(u, v), np.arctan2(u, -v)
    tooth = np.abs((angle / (2 * np.pi) * 5 + 0.5) % 1 - 0.5) * 2
    return radius <= 1.1 - 0.62 * tooth


def texture(name: str, u: Coordinates, v: Coordinates, fineness: float) -> Coordinates:
    """The share (0 or 1) of the first colour at each point; `fineness` is about the number of repeats."""
    if name == "striped":
        return (np.sin(u * fineness * np.pi) > 0).astype(np.float32)
    return ((np.sin(u * fineness * np.pi) * np.sin(v * fineness * np.pi)) ** 2 > 0.35).astype(np.float32)
