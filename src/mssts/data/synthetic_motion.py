"""How the objects of synthetic videos move, turn, grow and deform; times count in frames, lengths in pixels."""

from typing import NamedTuple

import numpy as np

from mssts.data.synthetic_shapes import REACH

# Whatever a video is built to show happens within its first frames, so that the shortest videos show it too.
EVENT_FRAMES = 12


class Pose(NamedTuple):
    """Where an object is in one frame: centre and half sizes in pixels, rotation in radians."""

    x: float
    y: float
    half_width: float
    half_height: float
    angle: float


class Wave(NamedTuple):
    """A sine over the frames: amplitude, radians per frame, phase."""

    amplitude: float
    frequency: float
    phase: float

    def at(self, frame: int) -> float:
        """Its value in a frame."""
        return float(self.amplitude * np.sin(self.frequency * frame + self.phase))


class Motion(NamedTuple):
    """A swaying straight path that passes `anchor` in frame `anchor_frame` and is reflected at the bounds.

    Positions are (x, y), `low` and `high` bound the centre. The size and the aspect ratio (width / height) are
    multiplied by the exponential of their waves.
    """

    anchor: tuple[float, float]
    anchor_frame: int
    velocity: tuple[float, float]
    sway: Wave
    low: tuple[float, float]
    high: tuple[float, float]
    half_size: float
    size_wave: Wave
    aspect: float
    aspect_wave: Wave
    angle: float
    spin: float

    def pose(self, frame: int) -> Pose:
        """The object's pose in a frame."""
        elapsed = frame - self.anchor_frame
        sway = self.sway.at(elapsed) - self.sway.at(0)
        size = self.half_size * np.exp(self.size_wave.at(frame))
        stretch = np.sqrt(self.aspect * np.exp(self.aspect_wave.at(frame)))
        x, y = (
            _reflect(self.anchor[axis] + self.velocity[axis] * elapsed + share * sway, self.low[axis], self.high[axis])
            for axis, share in enumerate((1.0, 0.6))
        )
        return Pose(x, y, float(size * stretch), float(size / stretch), self.angle + self.spin * frame)

    @property
    def speed(self) -> float:
        """Of the straight path, in pixels per frame."""
        return float(np.hypot(*self.velocity))

    @property
    def reach(self) -> float:
        """No point of the object is ever further from its centre."""
        stretch = np.exp(0.5 * (abs(np.log(self.aspect)) + self.aspect_wave.amplitude))
        return float(REACH * self.half_size * np.exp(self.size_wave.amplitude) * stretch)


def _reflect(value: float, low: float, high: float) -> float:
    """Fold the real line into low..high, as a ball between two walls moves."""
    span = high - low
    phase = (value - low) % (2 * span)
    return float(low + min(phase, 2 * span - phase))


def sample_motion(random: np.random.Generator, height: int, width: int, difficulty: float) -> Motion:
    """Choose a motion without special events: slower than the paper's fast motion, and it stays in view."""
    side = min(height, width)
    half_size = float(random.uniform(0.12, 0.30) * side)
    low, high = _bounds(half_size, height, width)
    speed = random.uniform(0.3, 1.0) * 2 * half_size * (0.05 + 0.1 * difficulty)
    return Motion(
        anchor=(float(random.uniform(low[0], high[0])), float(random.uniform(low[1], high[1]))),
        anchor_frame=0,
        velocity=_polar(speed, random.uniform(0, 2 * np.pi)),
        sway=_sample_wave(random, 0.05 * side * (0.2 + 0.8 * difficulty)),
        low=low,
        high=high,
        half_size=half_size,
        size_wave=_sample_wave(random, 0.06 + 0.09 * difficulty),
        aspect=float(np.exp(random.uniform(-1, 1) * (0.1 + 0.3 * difficulty))),
        aspect_wave=_sample_wave(random, 0.1 + 0.1 * difficulty),
        angle=float(random.uniform(0, 2 * np.pi)),
        spin=float(random.normal(0, 0.02 + 0.05 * difficulty)),
    )


def _bounds(half_size: float, height: int, width: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an object's centre may be so that most of it is in view."""
    margin = 0.7 * half_size
    return (margin, margin), (width - margin, height - margin)


def _polar(length: float, direction: float) -> tuple[float, float]:
    return float(length * np.cos(direction)), float(length * np.sin(direction))


def _sample_wave(random: np.random.Generator, max_amplitude: float) -> Wave:
    return Wave(
        float(random.uniform(0, max_amplitude)), float(random.uniform(0.1, 0.4)), float(random.uniform(0, 2 * np.pi))
    )


def _full_swing(random: np.random.Generator, low: float, high: float) -> Wave:
    """A wave with an amplitude of low..high that goes from one extreme to the other within the event frames."""
    half_period = random.uniform(0.6, 0.9) * EVENT_FRAMES
    sign = 1 if random.random() < 0.5 else -1
    return Wave(float(random.uniform(low, high)), float(np.pi / half_period), sign * np.pi / 2)


def move_fast(random: np.random.Generator, motion: Motion, height: int, width: int) -> Motion:
    """Make it small, and let it move by half of its size or more per frame (paper: section 4.3 asks for 0.3)."""
    half_size = float(random.uniform(0.10, 0.15) * min(height, width))
    low, high = _bounds(half_size, height, width)
    velocity = _polar(random.uniform(0.5, 0.75) * 2 * half_size, random.uniform(0, 2 * np.pi))
    return motion._replace(half_size=half_size, low=low, high=high, velocity=velocity)


def change_size(random: np.random.Generator, motion: Motion) -> Motion:
    """Let the size change by a factor of 1.8 to 2.7 (paper: section 4.3 asks for 1.5)."""
    return motion._replace(size_wave=_full_swing(random, 0.3, 0.5))


def change_aspect(random: np.random.Generator, motion: Motion) -> Motion:
    """Let width / height change by a factor of 2.2 to 3.3 (paper: section 4.3 asks for 1.5).

    The object is kept nearly upright: at 45 degrees the box that encloses it would not change at all.
    """
    upright = int(random.integers(4)) * np.pi / 2 + random.uniform(-0.2, 0.2)
    spin = float(np.clip(motion.spin, -0.01, 0.01))
    return motion._replace(aspect_wave=_full_swing(random, 0.4, 0.6), angle=float(upright), spin=spin)


def leave_view(random: np.random.Generator, motion: Motion, height: int, width: int) -> Motion:
    """Let it cross a border: it is out of view in one of the event frames, and comes in before or after it."""
    axis, extent = (0, width) if random.random() < 0.5 else (1, height)
    outside = 1.05 * motion.reach
    at_high = random.random() < 0.5
    inward = max(motion.speed, random.uniform(0.25, 0.4) * 2 * motion.half_size) * (-1 if at_high else 1)
    anchor, velocity, bounds = list(motion.anchor), [0.3 * speed for speed in motion.velocity], motion.low
    anchor[axis], velocity[axis] = (extent + outside if at_high else -outside), inward
    low, high = list(bounds), list(motion.high)
    (high if at_high else low)[axis] = anchor[axis]
    return motion._replace(
        anchor=(anchor[0], anchor[1]),
        anchor_frame=int(random.integers(EVENT_FRAMES)),
        velocity=(velocity[0], velocity[1]),
        sway=motion.sway._replace(amplitude=0.0),
        low=(low[0], low[1]),
        high=(high[0], high[1]),
    )


def meet(random: np.random.Generator, first: Motion, second: Motion) -> tuple[Motion, Motion]:
    """Let two objects overlap, though not cover each other entirely, in one of the event frames."""
    frame = int(random.integers(2, EVENT_FRAMES - 2))
    offset = _polar(random.uniform(0.3, 0.5) * (first.half_size + second.half_size), random.uniform(0, 2 * np.pi))
    x, y = (float(np.clip(first.anchor[axis] + offset[axis], second.low[axis], second.high[axis])) for axis in range(2))
    return first._replace(anchor_frame=frame), second._replace(anchor=(x, y), anchor_frame=frame)
