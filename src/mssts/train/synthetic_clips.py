"""The endless synthetic training set: clips cut from synthetic videos made on the fly."""

import numpy as np
import torch
from jaxtyping import UInt8

from mssts.data.batch import Sample
from mssts.data.normalise import normalise_frames
from mssts.data.synthetic import CATEGORIES, SyntheticVideo, boxes_of, synthesize_video
from mssts.loss.boxes import xyxy_px_to_cxcywh
from mssts.train.config import SyntheticConfig
from mssts.types import Targets

# Videos with smaller seeds are held out for evaluation.
FIRST_TRAINING_SEED = 1_000_000
NUM_VIDEOS = 1_000_000


class SyntheticClips:
    """A `ClipSource` of as many videos as any training can see, each with a seed of its own.

    Args:
        config: Sizes and difficulty.
    """

    def __init__(self, config: SyntheticConfig) -> None:
        self.config = config
        self.categories = CATEGORIES

    def __len__(self) -> int:
        """Items of an epoch."""
        return NUM_VIDEOS

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        """Make a video, take every stride-th frame of it and augment it; instances seen in none are left out."""
        config = self.config
        stride = int(random.integers(1, config.max_stride + 1))
        climbed = min(1.0, progress / config.ramp) if config.ramp else 1.0
        video = synthesize_video(
            FIRST_TRAINING_SEED + index,
            num_frames=(num_frames - 1) * stride + 1,
            height=config.height,
            width=config.width,
            difficulty=config.difficulty_from + (config.difficulty_to - config.difficulty_from) * climbed,
        )
        order = slice(None, None, stride if random.random() < 0.5 else -stride)
        columns = slice(None, None, 1 if random.random() < 0.5 else -1)
        frames = jitter_colours(video.frames[order, :, columns], random)
        masks = video.masks[:, order, :, columns]
        seen = masks.any(axis=(1, 2, 3))
        masks = np.ascontiguousarray(masks[seen])
        return to_sample(SyntheticVideo(frames, masks, video.labels[seen], boxes_of(masks)))


def jitter_colours(frames: UInt8[np.ndarray, "T H W 3"], random: np.random.Generator) -> UInt8[np.ndarray, "T H W 3"]:
    """Change brightness and contrast by up to a fifth and each channel by a tenth, alike in all frames of a clip."""
    gain = random.uniform(0.8, 1.2) * random.uniform(0.9, 1.1, 3)
    shift = random.uniform(-25, 25)
    # Every pixel value has one outcome per channel, so a table of 256 rows does the arithmetic.
    table = np.clip((np.arange(256)[:, None] - 128) * gain + 128 + shift, 0, 255).astype(np.uint8)
    return np.stack([table[frames[..., channel], channel] for channel in range(3)], axis=-1)


def to_sample(video: SyntheticVideo) -> Sample:
    """A video with its truth in the model's units."""
    height, width = video.frames.shape[1:3]
    boxes = xyxy_px_to_cxcywh(torch.from_numpy(video.boxes).float(), height, width)
    targets = Targets(torch.from_numpy(video.labels), boxes, torch.from_numpy(video.masks))
    return Sample(normalise_frames(video.frames), targets)
