import io
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from synthetic_tracks import HEIGHT, NOISY, WIDTH, Noise, Observation, Scene, SyntheticObject, window_starts

from mssts.predict.stitch import Linker, LinkerConfig
from mssts.types import WindowDetections

LAYOUTS = [(3, 1, "shifted"), (5, 2, "shifted"), (5, 2, "shorter"), (8, 3, "shifted")]
NUM_FRAMES = 33
NUM_SEEDS = 20
EXACT = Noise()


def line(x0: float, y0: float, dx: float, dy: float = 0.0) -> Callable[[int], tuple[float, float]]:
    return lambda frame: (x0 + dx * frame, y0 + dy * frame)


def bounce(x0: float, y0: float, dx: float, dy: float) -> Callable[[int], tuple[float, float]]:
    def fold(value: float, low: float, high: float) -> float:
        span = high - low
        return low + span - abs((value - low) % (2 * span) - span)

    return lambda frame: (fold(x0 + dx * frame, 6, WIDTH - 7), fold(y0 + dy * frame, 5, HEIGHT - 6))


def crossing(rng: np.random.Generator) -> list[SyntheticObject]:
    jitter = rng.uniform(-1, 1, size=4)
    return [
        SyntheticObject(line(4 + jitter[0], 18, 1.7)),
        SyntheticObject(line(60 + jitter[1], 17 + jitter[2], -1.7)),
        SyntheticObject(line(32, 4 + jitter[3], 0, 0.8)),
    ]


def lost_windows(rng: np.random.Generator) -> list[SyntheticObject]:
    """Each object is missed for 1 to 3 windows in a row, others of its class stay."""
    return [
        SyntheticObject(
            bounce(*rng.uniform((6, 5), (58, 31)), *rng.uniform(-1, 1, 2)),
            missed=tuple(range(first, first + lost)),
        )
        for first, lost in ((2, 1), (1, 2), (1, 3))
    ] + [SyntheticObject(bounce(30, 18, 1.0, 0.5))]


def leave_and_return(rng: np.random.Generator) -> list[SyntheticObject]:
    """Hidden from inside one overlap to inside a later one, and out of the picture on the right and back."""
    start = int(rng.integers(2, 8))
    return [
        SyntheticObject(bounce(15, 10, 0.8, 0.4), hidden=range(start, start + 4)),
        SyntheticObject(bounce(40, 26, -0.8, 0.3), hidden=range(start + 9, start + 11)),
        SyntheticObject(lambda frame: (52 + 14 * np.sin(0.25 * frame + 0.3 * start), 18.0)),
        SyntheticObject(bounce(10, 28, 0.2, 0.1)),
    ]


def fast_motion(rng: np.random.Generator) -> list[SyntheticObject]:
    """Up to 6 pixels a frame: more than its own radius, so successive frames hardly overlap."""
    return [
        SyntheticObject(bounce(*rng.uniform((6, 5), (58, 31)), *(rng.choice([-1, 1], 2) * rng.uniform(2, 6, 2))))
        for _ in range(4)
    ]


def twins(rng: np.random.Generator) -> list[SyntheticObject]:
    """Three identical objects side by side: embeddings say nothing, only masks and places do."""
    dx = rng.uniform(-0.3, 0.3)
    return [
        SyntheticObject(line(14, 18, dx)),
        SyntheticObject(line(27, 18, dx), twin_of=0),
        SyntheticObject(line(40, 18, dx), twin_of=0),
    ]


def crowd(rng: np.random.Generator) -> list[SyntheticObject]:
    return [
        SyntheticObject(
            bounce(*rng.uniform((6, 5), (58, 31)), *rng.uniform(-1.5, 1.5, 2)),
            label=index % 2,
            radii=(rng.uniform(3, 6), rng.uniform(3, 6)),
        )
        for index in range(8)
    ]


SCENARIOS = [crossing, lost_windows, leave_and_return, fast_motion, twins, crowd]


def preserved_identity(observations: list[Observation], ids: list[np.ndarray]) -> tuple[int, int]:
    """How many (object, window) pairs carry their object's majority id, of how many.

    An object that shares its majority id with another one has no identity, so none of its pairs count.
    """
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for observation, window_ids in zip(observations, ids, strict=True):
        for thing, track_id in zip(observation.objects, window_ids, strict=True):
            if thing >= 0:
                votes[int(thing)][int(track_id)] += 1
    majority = {thing: counter.most_common(1)[0] for thing, counter in votes.items()}
    owners = Counter(track_id for track_id, _ in majority.values())
    kept = sum(count for track_id, count in majority.values() if owners[track_id] == 1)
    return kept, sum(sum(counter.values()) for counter in votes.values())


def run(scenario, layout: tuple[int, int, str], seed: int, noise: Noise, config: LinkerConfig | None = None):
    rng = np.random.default_rng(seed)
    scene = Scene(scenario(rng), NUM_FRAMES, rng)
    observations = list(scene.observe(window_starts(NUM_FRAMES, *layout), noise))
    linker = Linker(config)
    return observations, [linker.step(observation.detections) for observation in observations]
