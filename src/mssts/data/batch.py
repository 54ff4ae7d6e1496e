"""What a training step gets: clips with their truth, stacked into a batch, and what every source of clips can do."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mssts.config import Category
from mssts.types import Clip, Targets

# In pixels: the recipe pads clips to the coarsest stride of the backbone.
PADDING_MULTIPLE = 32


class Sample(NamedTuple):
    """One clip as the model takes it, at its own size, with its truth."""

    frames: Float[Tensor, "T 3 H W"]
    targets: Targets


class Batch(NamedTuple):
    """Clips of one length with their truth, and the unpadded height and width in pixels of each."""

    clip: Clip
    targets: list[Targets]
    image_sizes: list[tuple[int, int]]


@runtime_checkable
class ClipSource(Protocol):
    """A training set seen as clips; a clip depends on nothing but the arguments of `sample`."""

    categories: tuple[Category, ...]

    def __len__(self) -> int:
        """Items of an epoch: every annotated frame is one."""
        ...

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        """Make the clip around an item.

        Args:
            index: Of the item, from 0.
            num_frames: T.
            random: Where all choices come from.
            progress: How much of the training is done, 0..1, for sources that grow harder with it.
        """
        ...


def collate(samples: Sequence[Sample], multiple: int = PADDING_MULTIPLE) -> Batch:
    """Pad clips at the right and at the bottom to a common size and stack them.

    Args:
        samples: At least one, all of the same number of frames.
        multiple: Of pixels, that the common height and width are raised to.
    """
    sizes = [(int(sample.frames.shape[-2]), int(sample.frames.shape[-1])) for sample in samples]
    height, width = (-(-max(size[axis] for size in sizes) // multiple) * multiple for axis in range(2))
    frames = torch.stack([_pad(sample.frames, height, width) for sample in samples])
    mask = None
    if any(size != (height, width) for size in sizes):
        mask = torch.ones(len(samples), height, width, dtype=torch.bool)
        for row, (unpadded_height, unpadded_width) in zip(mask, sizes, strict=True):
            row[:unpadded_height, :unpadded_width] = False
    return Batch(Clip(frames, mask), [sample.targets for sample in samples], sizes)


def _pad(frames: Float[Tensor, "T 3 H W"], height: int, width: int) -> Float[Tensor, "T 3 {height} {width}"]:
    """Fill with zeros, which is the mean colour after normalisation."""
    return F.pad(frames, (0, width - frames.shape[-1], 0, height - frames.shape[-2]))
