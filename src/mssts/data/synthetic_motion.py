"""How the objects of synthetic videos move, turn, grow and deform."""

from typing import NamedTuple

import numpy as np


class Pose(NamedTuple):
    """Where an object is in one frame: centre and half sizes in pixels, rotation in radians."""

    x: float
    y: float
    half_width: float
    half_height: float
    angle: float


class Motion(NamedTuple):
    """A path with constant velocity and a sway, a rotation, and slow waves of size and aspect ratio.

    Positions and velocities are in pixels and pixels per frame (x, y); waves have an amplitude (natural logarithm of
    the factor), an angular frequency per frame and a phase.
    """

    start: tuple[float, float]
    velocity: tuple[float, float]
    sway: tuple[float, float, float]
    half_size: float
    size_wave: tuple[float, float, float]
    aspect_wave: tuple[float, float, float]
    angle: float
    spin: float

    def pose(self, frame: int) -> Pose:
        """The object's pose in a frame."""
        size = self.half_size * np.exp(_wave(self.size_wave, frame))
        stretch = np.exp(0.5 * _wave(self.aspect_wave, frame))
        sway = _wave(self.sway, frame)
        return Pose(
            x=self.start[0] + self.velocity[0] * frame + sway,
            y=self.start[1] + self.velocity[1] * frame + 0.6 * sway,
            half_width=float(size * stretch),
            half_height=float(size / stretch),
            angle=self.angle + self.spin * frame,
        )


def _wave(wave: tuple[float, float, float], frame: int) -> float:
    amplitude, frequency, phase = wave
    return float(amplitude * np.sin(frequency * frame + phase))


def sample_motion(random: np.random.Generator, height: int, width: int, difficulty: float) -> Motion:
    """Choose a motion for a frame of this size; a fifth of the hard ones starts outside and comes in."""
    side = min(height, width)
    half_size = float(random.uniform(0.10, 0.26) * side)
    start = random.uniform(0.15, 0.85, 2) * (width, height)
    speed = random.uniform(0.3, 1.0) * half_size * (0.12 + 0.5 * difficulty * (random.random() < 0.5))
    direction = random.uniform(0, 2 * np.pi)
    if random.random() < 0.2 * difficulty:
        start[0] = -half_size if random.random() < 0.5 else width + half_size
        direction = np.arctan2(height / 2 - start[1], width / 2 - start[0])
    aspect = float(random.uniform(0.0, 0.2 + 0.7 * difficulty))
    return Motion(
        start=(float(start[0]), float(start[1])),
        velocity=(float(speed * np.cos(direction)), float(speed * np.sin(direction))),
        sway=(float(random.uniform(0, 0.25) * side * (0.2 + difficulty)), *_rhythm(random)),
        half_size=half_size,
        size_wave=(float(random.uniform(0, 0.08 + 0.3 * difficulty)), *_rhythm(random)),
        aspect_wave=(aspect, *_rhythm(random)),
        angle=float(random.uniform(0, 2 * np.pi)),
        spin=float(random.normal(0, 0.02 + 0.08 * difficulty)),
    )


def _rhythm(random: np.random.Generator) -> tuple[float, float]:
    """Angular frequency per frame, and phase."""
    return float(random.uniform(0.1, 0.4)), float(random.uniform(0, 2 * np.pi))
