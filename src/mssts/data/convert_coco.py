"""Converts COCO detection sets to YouTube-VIS form: every image becomes a video of one frame."""

import os
from collections import defaultdict
from pathlib import Path

import msgspec
from tqdm import tqdm

from mssts.data.mask_folders import choose_videos, picture_size
from mssts.data.rle import to_compressed
from mssts.data.set_writer import SetCounts, SetWriter, as_text, place_image
from mssts.errors import BadInputError

ANNOTATIONS = (
    "annotations/instances_{split}2017.json",
    "annotations/instances_{split}2014.json",
    "annotations/instances_{split}.json",
    "{split}/_annotations.coco.json",
    "{split}.json",
)


class _Image(msgspec.Struct):
    id: int
    file_name: str
    height: int
    width: int


class _Instance(msgspec.Struct):
    id: int
    image_id: int
    category_id: int
    segmentation: dict | list
    iscrowd: int | bool = 0


class _Category(msgspec.Struct):
    id: int
    name: str


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Instance]
    categories: list[_Category]


def convert_coco(
    source: Path, out: Path, split: str, *, only: Path | None = None, copy: bool = False, progress: bool = True
) -> tuple[SetCounts, list[str]]:
    """Convert a COCO annotation file; images without instances are kept, crowds stay crowds.

    Polygons become run-length codes, and boxes and areas are those of the codes.

    Args:
        source: The annotation file, or the set's folder as downloaded (annotations/instances_train2017.json).
        out: Folder of the new set.
        split: Of the new set, and which annotations of a folder; `valid` is COCO's `val`.
        only: A text file with the names of the images to take, without suffix.
        copy: Whether to copy the pictures rather than to link them.
        progress: Whether to show a progress bar.

    Returns:
        What was written, and lines that tell what was left out.

    Raises:
        BadInputError: The annotations or a picture cannot be read or do not fit together, or the split exists already.
    """
    path = source if source.is_file() else _find_annotations(source, split)
    content = _parse(path)
    instances = _by_image(path, content)
    names = choose_videos([_stem(image) for image in content.images], only)
    chosen = set(names)
    images = [image for image in content.images if _stem(image) in chosen]
    if not images:
        raise BadInputError(f"{path}: holds no images")
    root = _find_image_root(path, images[0].file_name)
    categories = [(category.id, category.name) for category in content.categories]
    num_empty = 0
    with SetWriter(out, split, categories, {"description": f"converted from the COCO file {path.name}"}) as writer:
        for image in tqdm(images, unit="image", disable=not progress, dynamic_ncols=True):
            num_empty += _convert_image(writer, path, root / image.file_name, image, instances[image.id], copy)
    return writer.counts, [f"left out: {num_empty} instances without a pixel"] if num_empty else []


def _convert_image(
    writer: SetWriter, path: Path, picture: Path, image: _Image, instances: list[_Instance], copy: bool
) -> int:
    """Write an image and its instances; returns how many of these are empty and were left out."""
    if picture_size(picture) != (image.height, image.width):
        height, width = picture_size(picture)
        raise BadInputError(f"{picture}: is {height} x {width}, {path.name} says {image.height} x {image.width}")
    video_id, folder = writer.add_video(_stem(image), image.height, image.width, [picture.name])
    num_noted = 0
    for instance in instances:
        try:
            code = to_compressed(instance.segmentation, image.height, image.width)
        except ValueError as error:
            raise BadInputError(f"{path}: annotation {instance.id}: {error}") from error
        num_noted += writer.add_track(video_id, instance.category_id, [as_text(code)], bool(instance.iscrowd))
    place_image(picture, folder / picture.name, copy)
    return len(instances) - num_noted


def _stem(image: _Image) -> str:
    """The image's name without suffix, which names the video."""
    return os.path.splitext(image.file_name)[0]


def _find_annotations(folder: Path, split: str) -> Path:
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such file or folder")
    for name in dict.fromkeys((split, "val" if split == "valid" else split)):
        for layout in ANNOTATIONS:
            if (folder / layout.format(split=name)).is_file():
                return folder / layout.format(split=name)
    raise BadInputError(
        f"{folder}: no COCO annotations of the split {split} (looked for {ANNOTATIONS[0]} and the like)"
    )


def _parse(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise BadInputError(f"{path}: nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: {str(error).replace('`', '')}") from error


def _by_image(path: Path, content: _File) -> defaultdict[int, list[_Instance]]:
    """The instances of each image, in the order of the file."""
    images = {image.id for image in content.images}
    categories = {category.id for category in content.categories}
    for key, ids, entries in (("images", images, content.images), ("categories", categories, content.categories)):
        if len(ids) != len(entries):
            raise BadInputError(f"{path}: an id is taken twice among the {key}")
    instances: defaultdict[int, list[_Instance]] = defaultdict(list)
    for instance in content.annotations:
        if instance.image_id not in images:
            raise BadInputError(f"{path}: annotation {instance.id} is of the unknown image {instance.image_id}")
        if instance.category_id not in categories:
            raise BadInputError(f"{path}: annotation {instance.id} is of the unknown category {instance.category_id}")
        instances[instance.image_id].append(instance)
    return instances


def _find_image_root(path: Path, first_file: str) -> Path:
    """The folder that the file names start from: the first known place that holds the first file."""
    name = path.stem.removeprefix("instances_")
    places = [
        parent / folder
        for parent in (path.parent, path.parent.parent)
        for folder in (name, f"images/{name}", "images", ".")
    ]
    for place in places:
        if os.path.isfile(place / first_file):  # Path.is_file raises on impossible names
            return place
    raise BadInputError(f"{path}: its first image {first_file} was not found (looked in {places[4]} and the like)")
