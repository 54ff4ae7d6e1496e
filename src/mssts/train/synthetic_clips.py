"""Training clips cut from synthetic videos made on the fly; a step's clips depend on nothing but its number."""

import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing.sharedctypes import Synchronized
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.utils.data import DataLoader, IterableDataset

from mssts.data.normalise import normalise_frames
from mssts.data.synthetic import SyntheticVideo, boxes_of, synthesize_video
from mssts.loss.boxes import xyxy_px_to_cxcywh
from mssts.train.settings import ClipSettings, TrainSettings
from mssts.types import Clip, Targets

# Videos with smaller seeds are held out for evaluation.
FIRST_TRAINING_SEED = 1_000_000
# Every step owns this many video seeds, more than it can need.
SEEDS_PER_STEP = 64


class Batch(NamedTuple):
    """Clips of one size with their truth, and the unpadded height and width in pixels of each."""

    clip: Clip
    targets: list[Targets]
    image_sizes: list[tuple[int, int]]


def make_batch(step: int, settings: ClipSettings, seed: int = 0, difficulty: float = 1.0) -> Batch:
    """Make the clips of one training step.

    Args:
        step: Its number, from 0.
        settings: Sizes and lengths.
        seed: Of the whole training.
        difficulty: Of the videos, 0..1.
    """
    random = np.random.default_rng((seed, step))
    num_frames = int(random.integers(settings.min_frames, settings.max_frames + 1))
    num_clips = min(SEEDS_PER_STEP, max(1, round(settings.frames_per_batch / num_frames)))
    first_seed = FIRST_TRAINING_SEED + (seed * 1_000_003 + step) * SEEDS_PER_STEP
    videos = [sample_clip(first_seed + index, num_frames, settings, difficulty, random) for index in range(num_clips)]
    return collate(videos)


def collate(videos: list[SyntheticVideo]) -> Batch:
    """Stack videos of one size and length into a batch for the model."""
    frames = torch.stack([normalise_frames(video.frames) for video in videos])
    size = (frames.shape[-2], frames.shape[-1])
    return Batch(Clip(frames), [targets_of(video) for video in videos], [size] * len(videos))


def sample_clip(
    seed: int, num_frames: int, settings: ClipSettings, difficulty: float, random: np.random.Generator
) -> SyntheticVideo:
    """Make a video, take every stride-th frame of it and augment it; instances seen in none of them are left out."""
    stride = int(random.integers(1, settings.max_stride + 1))
    video = synthesize_video(
        seed,
        num_frames=(num_frames - 1) * stride + 1,
        height=settings.height,
        width=settings.width,
        difficulty=difficulty,
    )
    order = slice(None, None, stride if random.random() < 0.5 else -stride)
    columns = slice(None, None, 1 if random.random() < 0.5 else -1)
    frames = jitter_colours(video.frames[order, :, columns], random)
    masks = video.masks[:, order, :, columns]
    seen = masks.any(axis=(1, 2, 3))
    masks = np.ascontiguousarray(masks[seen])
    return SyntheticVideo(frames, masks, video.labels[seen], boxes_of(masks))


def jitter_colours(frames: UInt8[np.ndarray, "T H W 3"], random: np.random.Generator) -> UInt8[np.ndarray, "T H W 3"]:
    """Change brightness and contrast by up to a fifth and each channel by a tenth, alike in all frames of a clip."""
    gain = random.uniform(0.8, 1.2) * random.uniform(0.9, 1.1, 3)
    shift = random.uniform(-25, 25)
    # Every pixel value has one outcome per channel, so a table of 256 rows does the arithmetic.
    table = np.clip((np.arange(256)[:, None] - 128) * gain + 128 + shift, 0, 255).astype(np.uint8)
    return np.stack([table[frames[..., channel], channel] for channel in range(3)], axis=-1)


def targets_of(video: SyntheticVideo) -> Targets:
    """The truth of a video in the model's units."""
    height, width = video.frames.shape[1:3]
    boxes: Float[torch.Tensor, "K T 4"] = torch.from_numpy(video.boxes).float()
    return Targets(
        torch.from_numpy(video.labels), xyxy_px_to_cxcywh(boxes, height, width), torch.from_numpy(video.masks)
    )


class SyntheticClips(IterableDataset[Batch]):
    """The batches of a training from some step on.

    Args:
        settings: Of the training.
        first_step: Where to start: 0, or the step that a resumed run goes on with.
    """

    def __init__(self, settings: TrainSettings, first_step: int = 0) -> None:
        self.settings, self.first_step = settings, first_step
        # A training limited by time tells the worker here how far it is; one limited by steps does not need to.
        self.progress: Synchronized[float] = multiprocessing.Value("d", 0.0)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches without end."""
        step = self.first_step
        while True:
            timed = self.settings.steps is None
            progress = self.progress.value if timed else self.settings.progress(step, elapsed_s=0.0)
            difficulty = self.settings.clips.difficulty * min(1.0, 2 * progress)
            yield make_batch(step, self.settings.clips, self.settings.seed, difficulty)
            step += 1


def load_in_background(dataset: SyntheticClips) -> DataLoader[Batch]:
    """Make the batches in one worker process, a few ahead of the training."""
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=1,
        prefetch_factor=3,
        worker_init_fn=_outlive_first_signal,
        collate_fn=_as_made,
        # Its own generator: the loader must not draw from the random numbers of the training.
        generator=torch.Generator(),
    )


def _as_made(batch: Any) -> Any:
    """The batch itself; the loader's own conversion would make lists of its tuples."""
    return batch


def _outlive_first_signal(_worker: int) -> None:
    """Let one Ctrl-C or kill of the whole group pass: the training process saves first and then ends the worker."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: signal.signal(number, signal.SIG_DFL))
