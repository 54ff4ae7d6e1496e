"""Which clips a step sees: a function of the seed and the step's number, whatever the number of devices.

So a resumed run goes on with the very clips that it would have seen, and two devices see what one would.
"""

import gc
import signal
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch.utils.data import DataLoader, Dataset

from mssts.data.batch import Batch, ClipSource, collate
from mssts.errors import BadInputError, MsstsError
from mssts.train.config import TrainConfig

# Streams of random numbers that must not meet: one for the order of an epoch, one for lengths, one for each clip.
ORDER, LENGTH, CLIP = range(3)


class StepBatches(Dataset[list[Batch]]):
    """The batches of each step for one of the training's processes.

    Args:
        source: Where clips come from.
        config: Of the training.
        rank: Which process this is.
        world_size: How many there are.

    Raises:
        BadInputError: The clips of a step cannot be shared so that each process has as many batches as the others:
            the recipe's total batch must not change silently, and a process without a batch would stop them all.
    """

    def __init__(self, source: ClipSource, config: TrainConfig, rank: int = 0, world_size: int = 1) -> None:
        for num_frames in range(config.min_frames, config.max_frames + 1):
            _check_shares(_num_clips(config, num_frames), world_size, config.clips.per_batch)
        self.source, self.config, self.rank, self.world_size = source, config, rank, world_size
        self.num_steps = num_steps(config, len(source))

    def __len__(self) -> int:
        """Steps of the training."""
        return self.num_steps

    def __getitem__(self, step: int) -> list[Batch]:
        """The rank's share of a step's clips, as batches that fit through the model."""
        num_frames, num_clips = self.clips_of(step)
        shares = range(self.rank, num_clips, self.world_size)
        first = step * most_clips(self.config)
        samples = [self._sample(first + share, num_frames, step / self.num_steps) for share in shares]
        count = _num_batches(num_clips, self.world_size, self.config.clips.per_batch)
        bounds = [round(len(samples) * index / count) for index in range(count + 1)]
        return [collate(samples[start:end]) for start, end in pairwise(bounds)]

    def clips_of(self, step: int) -> tuple[int, int]:
        """Frames per clip, and number of clips over all processes, of a step."""
        random = np.random.default_rng((self.config.seed, LENGTH, step))
        num_frames = int(random.integers(self.config.min_frames, self.config.max_frames + 1))
        return num_frames, _num_clips(self.config, num_frames)

    def _sample(self, position: int, num_frames: int, progress: float) -> Any:
        """The clip at a position of the endless sequence of epochs."""
        epoch, place = divmod(position, len(self.source))
        index = int(_order(self.config.seed, epoch, len(self.source))[place])
        random = np.random.default_rng((self.config.seed, CLIP, position))
        return self.source.sample(index, num_frames, random, progress)


def num_steps(config: TrainConfig, num_items: int) -> int:
    """Length of the training in steps."""
    if config.steps is not None:
        return config.steps
    assert config.epochs is not None
    return max(1, round(config.epochs * steps_per_epoch(config, num_items)))


def steps_per_epoch(config: TrainConfig, num_items: int) -> int:
    """Steps in which every item is seen once."""
    return -(-num_items // most_clips(config))


def most_clips(config: TrainConfig) -> int:
    """Clips of a step whose clips are shortest: how far a step moves on in the sequence of clips."""
    return _num_clips(config, config.min_frames)


def _num_clips(config: TrainConfig, num_frames: int) -> int:
    """Clips of a step, over all processes; at least one."""
    if config.clips.frames_per_step is None:
        return config.clips.per_step
    return max(1, round(config.clips.frames_per_step / num_frames))


def _num_batches(num_clips: int, world_size: int, per_batch: int) -> int:
    """Batches that each process makes of its share of a step's clips, decided by the largest share."""
    largest = -(-num_clips // world_size)
    return -(-largest // per_batch)


def _check_shares(num_clips: int, world_size: int, per_batch: int) -> None:
    """Refuse a step whose smallest share has fewer clips than there are batches."""
    if num_clips // world_size < _num_batches(num_clips, world_size, per_batch):
        raise BadInputError(
            f"{world_size} processes cannot share the {num_clips} clips of a step in batches of up to {per_batch}; "
            "take another number of devices, or change clips.per_step, clips.frames_per_step or clips.per_batch"
        )


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, num_items: int) -> Int[np.ndarray, " items"]:
    """The order in which an epoch walks over the items."""
    return np.random.default_rng((seed, ORDER, epoch)).permutation(num_items)


class _Guarded(Dataset[list[Batch] | MsstsError]):
    """Hands over a user's mistake as a value: the loader would wrap the exception of a worker in its traceback."""

    def __init__(self, dataset: StepBatches) -> None:
        self.dataset = dataset

    def __getitem__(self, step: int) -> list[Batch] | MsstsError:
        try:
            return self.dataset[step]
        except MsstsError as error:
            return error


def load_in_background(dataset: StepBatches, first_step: int, workers: int) -> Iterator[list[Batch] | MsstsError]:
    """Yield the batches of each step from `first_step` on, made by some worker processes a few steps ahead.

    Where a file cannot be read, the error stands in the place of the batches: of several ranks, the others have to be
    told before it is raised.
    """
    loader = DataLoader(
        _Guarded(dataset),
        sampler=range(first_step, len(dataset)),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=3 if workers else None,
        worker_init_fn=_outlive_first_signal,
        collate_fn=_as_made,
        # Its own generator: the loader must not draw from the random numbers of the training.
        generator=torch.Generator(),
    )
    yield from _start(loader)


def _start(loader: DataLoader[Any]) -> Iterator[Any]:
    """Start the workers with nothing for them to collect: some objects cannot be destroyed in a forked process.

    A decoded video frame, for one, waits there for ever for threads that only its own process has.
    """
    gc.collect()
    gc.freeze()
    try:
        return iter(loader)
    finally:
        gc.unfreeze()


def _as_made(batch: Any) -> Any:
    """The batches themselves; the loader's own conversion would make lists of their tuples."""
    return batch


def _outlive_first_signal(_worker: int) -> None:
    """Let one Ctrl-C or kill of the whole group pass: the training process saves first and then ends the worker."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: signal.signal(number, signal.SIG_DFL))
