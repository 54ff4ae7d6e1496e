"""Training clips from a set of images in COCO form: pseudo-videos made of an image and random warps of it."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from mssts.config import Category
from mssts.data.augmentation import AugmentationConfig
from mssts.data.batch import Sample
from mssts.data.coco_set import CocoImage, CocoInstance, CocoSet
from mssts.data.geometry import Geometry
from mssts.data.image_warps import Warp, draw_warp
from mssts.data.pictures import read_picture
from mssts.data.transforms import Truth, draw_colours, draw_geometry, make_sample, transform_frames
from mssts.errors import BadInputError

MAX_INSTANCES = 25
"""Images with more instances than this are left out."""
MAX_REDRAWS = 9
"""So often are warps and augmentation drawn again if no instance is to be seen; then the clip stays without one."""
Move = Warp | None
"""How a frame comes from the image; None is the image itself."""


class CocoClips:
    """A `ClipSource` of images; every image with 1 to 25 usable instances is an item.

    Usable are instances of the mapped categories that are no crowd.

    Args:
        coco_set: The set.
        slot_of: The class slot of each category id of the file; instances of other categories are left out.
        categories: Of all slots.
        augmentation: Of the clips, after the warps.

    Raises:
        BadInputError: There is no such image.
    """

    def __init__(
        self,
        coco_set: CocoSet,
        slot_of: Mapping[int, int],
        categories: tuple[Category, ...],
        augmentation: AugmentationConfig,
    ) -> None:
        self.categories = categories
        self._set, self._slot_of, self._augmentation = coco_set, slot_of, augmentation
        images = [image._replace(instances=self._usable(image)) for image in coco_set.images]
        self._images = [image for image in images if 1 <= len(image.instances) <= MAX_INSTANCES]
        if not self._images:
            raise BadInputError(f"{coco_set.path}: holds no image with 1 to {MAX_INSTANCES} instances to train on")

    def __len__(self) -> int:
        """Images with 1 to 25 usable instances."""
        return len(self._images)

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        """Make the pseudo-video of an image; instances that are seen in none of its frames are left out.

        Raises:
            BadInputError: The image or a segmentation cannot be read.
        """
        image = self._images[index]
        size = (image.height, image.width)
        still = np.stack([self._set.decode(image, instance) for instance in image.instances])
        moves, geometry, truth = self._draw(image, still, num_frames, random)
        for _ in range(MAX_REDRAWS):
            if len(truth.labels):
                break
            moves, geometry, truth = self._draw(image, still, num_frames, random)
        colours = draw_colours(self._augmentation, random)
        picture = read_picture(self._set.image_root / image.file_name, *size)
        frames = [move.apply_to_image(picture) if move else picture for move in moves]
        return make_sample(transform_frames(frames, geometry, colours), truth)

    def _usable(self, image: CocoImage) -> tuple[CocoInstance, ...]:
        return tuple(
            instance for instance in image.instances if not instance.is_crowd and instance.category_id in self._slot_of
        )

    def _draw(
        self, image: CocoImage, still: Bool[np.ndarray, "K H W"], num_frames: int, random: np.random.Generator
    ) -> tuple[list[Move], Geometry, Truth]:
        """Draw the warps and what happens to their outcome, with the truth that is then seen."""
        size = (image.height, image.width)
        moves: list[Move] = [None, *(draw_warp(*size, random) for _ in range(num_frames - 1))]
        moves = [moves[place] for place in random.permutation(num_frames)]
        geometry = draw_geometry(self._augmentation, size, random)
        return moves, geometry, self._truth(image, still, moves, geometry).only_seen()

    def _truth(
        self, image: CocoImage, still: Bool[np.ndarray, "K H W"], moves: Sequence[Move], geometry: Geometry
    ) -> Truth:
        masks = np.empty((len(still), len(moves), *geometry.target), dtype=bool)
        for frame, move in enumerate(moves):
            for number, mask in enumerate(move.apply_to_masks(still) if move else still):
                masks[number, frame] = geometry.apply_to_mask(mask)
        labels = [self._slot_of[instance.category_id] for instance in image.instances]
        return Truth(np.array(labels, dtype=np.int64), masks)
