"""Reads detection sets in COCO form.

COCO's polygons would take gigabytes as Python objects, so segmentations stay JSON text until they are needed.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Bool

from mssts.data.json_file import read_json
from mssts.data.rle import MAX_PIXELS, decode
from mssts.errors import BadInputError

ANNOTATIONS = (
    "annotations/instances_{split}2017.json",
    "annotations/instances_{split}2014.json",
    "annotations/instances_{split}.json",
    "{split}/_annotations.coco.json",
    "{split}.json",
)


class CocoInstance(NamedTuple):
    """One annotation of an image; `segmentation` is JSON text."""

    id: int
    category_id: int
    segmentation: msgspec.Raw
    is_crowd: bool


class CocoImage(NamedTuple):
    """An image with its annotations; the size is in pixels, `file_name` relative to the set's image root."""

    id: int
    height: int
    width: int
    file_name: str
    instances: tuple[CocoInstance, ...]


class CocoSet(NamedTuple):
    """The content of one annotation file; `categories` are (id, name)."""

    path: Path
    image_root: Path
    images: tuple[CocoImage, ...]
    categories: tuple[tuple[int, str], ...]

    def decode(self, image: CocoImage, instance: CocoInstance) -> Bool[np.ndarray, "H W"]:
        """Turn an instance's segmentation into a mask of its image's size.

        Raises:
            BadInputError: The segmentation is not safe to decode.
        """
        try:
            return decode(msgspec.json.decode(instance.segmentation), image.height, image.width)
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"{self.path}: annotation {instance.id}: {error}") from error


class _Image(msgspec.Struct):
    id: int
    file_name: str
    height: int
    width: int


class _Instance(msgspec.Struct):
    id: int
    image_id: int
    category_id: int
    segmentation: msgspec.Raw
    iscrowd: int | bool = 0


class _Category(msgspec.Struct):
    id: int
    name: str


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Instance]
    categories: list[_Category]


def find_coco_annotations(folder: Path, split: str) -> Path | None:
    """Find a split's annotation file in a set's folder as downloaded; `valid` is COCO's `val`."""
    for name in (split, "val") if split == "valid" else (split,):
        for layout in ANNOTATIONS:
            if (path := folder / layout.format(split=name)).is_file():
                return path
    return None


def load_coco(source: Path, split: str = "train") -> CocoSet:
    """Read a set's annotations.

    Args:
        source: The set's folder, or an annotation file.
        split: Which annotations of a folder; a file is its own split.

    Raises:
        BadInputError: There are no annotations, they are not JSON, a key is missing or of a wrong type, an id occurs
            twice or is unknown, or the first image is not to be found.
    """
    if not source.exists():
        raise BadInputError(f"{source}: no such file or folder")
    path = source if source.is_file() else find_coco_annotations(source, split)
    if path is None:
        wanted = ANNOTATIONS[0].format(split=split)
        raise BadInputError(f"{source}: no COCO annotations of the split {split} (looked for {wanted} and the like)")
    content = _parse(path)
    instances = _instances_by_image(path, content)
    images = tuple(
        CocoImage(image.id, image.height, image.width, image.file_name, tuple(instances[image.id]))
        for image in content.images
    )
    categories = tuple((category.id, category.name) for category in content.categories)
    return CocoSet(path, _image_root(path, content.images), images, categories)


def _parse(path: Path) -> _File:
    content: _File = read_json(path, _File)
    for index, image in enumerate(content.images):
        if image.height < 1 or image.width < 1 or image.height * image.width > MAX_PIXELS:
            raise BadInputError(f"{path}: $.images[{index}]: {image.height} x {image.width} pixels are not possible")
    return content


def _instances_by_image(path: Path, content: _File) -> dict[int, list[CocoInstance]]:
    """The annotations of each image, in the order of the file."""
    images = {image.id for image in content.images}
    categories = {category.id for category in content.categories}
    for key, ids, entries in (("images", images, content.images), ("categories", categories, content.categories)):
        if len(ids) != len(entries):
            raise BadInputError(f"{path}: an id is taken twice in $.{key}")
    instances: dict[int, list[CocoInstance]] = defaultdict(list)
    for index, entry in enumerate(content.annotations):
        if entry.image_id not in images:
            raise BadInputError(f"{path}: $.annotations[{index}]: unknown image_id {entry.image_id}")
        if entry.category_id not in categories:
            raise BadInputError(f"{path}: $.annotations[{index}]: unknown category_id {entry.category_id}")
        instances[entry.image_id].append(
            CocoInstance(entry.id, entry.category_id, entry.segmentation, bool(entry.iscrowd))
        )
    return instances


def _image_root(path: Path, images: list[_Image]) -> Path:
    """The folder that the file names start from: the first known place that holds the first file."""
    if not images:
        return path.parent
    name = path.stem.removeprefix("instances_")
    folders = (name, f"images/{name}", "images", ".")
    places = [parent / folder for parent in (path.parent, path.parent.parent) for folder in folders]
    for place in places:
        if os.path.isfile(place / images[0].file_name):  # Path.is_file raises on impossible names
            return place
    raise BadInputError(f"{path}: its first image {images[0].file_name} was not found (looked in {places[4]}, …)")
