"""Clips per second of the data loading: `python benchmarks/data_loading.py [--data SET]`.

Clips of the YouTube-VIS recipe are made by 1, 2, … worker processes with one thread each. Without --data they come from
synthetic videos of 720x1280 JPEG frames, as YouTube-VIS has them, in a temporary folder.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mssts.data.augmentation import AugmentationConfig
from mssts.data.batch import ClipSource
from mssts.data.open_source import open_training_set
from mssts.data.synthetic_set import write_synthetic_set

NUM_FRAMES = 5
STEP_S = 0.2
NUM_WORKERS = 8


class Clips(Dataset[int]):
    """Makes the clips of random items and returns their numbers of frames, so that only their making is measured."""

    def __init__(self, source: ClipSource, num_clips: int, num_frames: int) -> None:
        self.source, self.num_clips, self.num_frames = source, num_clips, num_frames

    def __len__(self) -> int:
        """Clips of one measurement."""
        return self.num_clips

    def __getitem__(self, number: int) -> int:
        """Make a clip."""
        random = np.random.default_rng(number)
        return len(self.source.sample(int(random.integers(len(self.source))), self.num_frames, random, 0.0).frames)


def clips_per_second(source: ClipSource, workers: int, clips_per_worker: int, num_frames: int) -> float:
    """Clips that some workers make in a second together, their start not counted."""
    dataset = Clips(source, workers * (clips_per_worker + 1), num_frames)
    loader = iter(DataLoader(dataset, batch_size=None, num_workers=workers, generator=torch.Generator()))
    for _ in range(workers):
        next(loader)
    start = time.perf_counter()
    for _ in loader:
        pass
    return workers * clips_per_worker / (time.perf_counter() - start)


def measure(source: ClipSource, clips_per_worker: int, num_frames: int) -> None:
    """Print the rates, and what they mean for a step on a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print(f"{cores} cores; load average before the measurement: {os.getloadavg()[0]:.1f}")
    counts = [count for count in (1, 2, 4, 8) if count <= cores]
    rates = [clips_per_second(source, workers, clips_per_worker, num_frames) for workers in counts]
    for workers, rate in zip(counts, rates, strict=True):
        print(f"{workers} workers: {rate:.2f} clips/s, {rate / workers / rates[0]:.0%} of one worker's rate each")
    each = rates[-1] / counts[-1]
    basis = "measured" if counts[-1] == NUM_WORKERS else f"from {counts[-1]} workers, as many as there are cores"
    print(f"{NUM_WORKERS} workers ({basis}): {NUM_WORKERS * each:.1f} clips/s, {1 / each / NUM_WORKERS:.3f} s a clip")
    verdict = "feed" if NUM_WORKERS * each * STEP_S >= 1 else "do not feed"
    print(f"{NUM_WORKERS} workers {verdict} a GPU that takes {STEP_S} s for a step of one clip")


def main() -> None:
    """Open or make the set, then measure."""
    parser = argparse.ArgumentParser(description="Clips per second of the data loading.")
    parser.add_argument("--data", type=Path, help="a training set (default: synthetic videos of 720x1280)")
    parser.add_argument("--split", default="train", help="(default: %(default)s)")
    parser.add_argument("--clips", type=int, default=30, help="clips of each worker (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=NUM_FRAMES, help="frames of a clip (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = options.data
        if data is None:
            data = Path(folder)
            write_synthetic_set(data, options.split, num_videos=4, seed=0, height=720, width=1280, max_frames=12)
        measure(open_training_set([data], options.split, None, AugmentationConfig()), options.clips, options.frames)


if __name__ == "__main__":
    main()
