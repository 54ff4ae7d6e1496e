"""The recipe's augmentation of a whole clip: geometry and colours are drawn once and are the same for all its frames.

Boxes are those of the transformed masks. (The official code crops the file's boxes instead, so that a box can be
larger than the visible part of its object.) So a box encloses its mask whatever the file says, and an instance that
has left a frame, or is too small to be seen there, has box 0 and an empty mask.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from mssts.data.augmentation import AugmentationConfig
from mssts.data.batch import Sample
from mssts.data.geometry import Geometry, Size, draw_crop, draw_resize
from mssts.data.normalise import normalise
from mssts.data.photometric import Distortion, distort, draw_distortion
from mssts.data.synthetic import boxes_of
from mssts.loss.boxes import xyxy_px_to_cxcywh
from mssts.types import Targets


def draw_geometry(config: AugmentationConfig, size: Size, random: np.random.Generator) -> Geometry:
    """Draw flip, resizing and crop for frames of a size."""
    if not config.enabled:
        return Geometry(size, flip=False, steps=())
    flip, crops = bool(random.random() < config.flip), random.random() < config.crop
    steps = []
    current = size
    if crops:
        current = draw_resize(current, config.crop_short_sides, None, random)
        crop = draw_crop(current, config.crop_sides, random)
        steps += [current, crop]
        current = (crop.height, crop.width)
    steps.append(draw_resize(current, config.short_sides, config.max_long_side, random))
    return Geometry(size, flip, tuple(steps))


def draw_colours(config: AugmentationConfig, random: np.random.Generator) -> Distortion:
    """Draw the distortion of colours."""
    return draw_distortion(random) if config.enabled and config.photometric else Distortion()


def transform_frames(
    frames: Sequence[UInt8[np.ndarray, "H W 3"]], geometry: Geometry, colours: Distortion
) -> UInt8[Tensor, "T 3 _ _"]:
    """Distort the colours of decoded frames, then flip, resize and crop them."""
    distorted = (frame if colours == Distortion() else distort(frame, colours) for frame in frames)
    return torch.stack([geometry.apply_to_frame(frame) for frame in distorted])


class Truth(NamedTuple):
    """The class slots and transformed masks of a clip's instances."""

    labels: Int[np.ndarray, " K"]
    masks: Bool[np.ndarray, "K T H W"]

    def only_seen(self) -> "Truth":
        """Without the instances that are seen in no frame."""
        seen = self.masks.any(axis=(1, 2, 3))
        return Truth(self.labels[seen], self.masks[seen])


def make_sample(frames: UInt8[Tensor, "T 3 H W"], truth: Truth) -> Sample:
    """A clip with its truth as the model takes it."""
    labels, masks = truth
    height, width = masks.shape[2:]
    boxes = xyxy_px_to_cxcywh(torch.from_numpy(boxes_of(masks)), height, width)
    targets = Targets(torch.from_numpy(labels), boxes, torch.from_numpy(np.ascontiguousarray(masks)))
    return Sample(normalise(frames.float()), targets)
