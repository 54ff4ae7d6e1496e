"""Converts COCO detection sets to YouTube-VIS form: every image becomes a video of one frame."""

import os
from pathlib import Path

import msgspec
from tqdm import tqdm

from mssts.data.coco_set import CocoImage, CocoSet, load_coco
from mssts.data.mask_folders import choose_videos, picture_size
from mssts.data.rle import to_compressed
from mssts.data.set_writer import SetCounts, SetWriter, as_text, place_image
from mssts.errors import BadInputError


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
    content = load_coco(source, split)
    chosen = set(choose_videos([_stem(image) for image in content.images], only))
    images = [image for image in content.images if _stem(image) in chosen]
    if not images:
        raise BadInputError(f"{content.path}: holds no images")
    info = {"description": f"converted from the COCO file {content.path.name}"}
    num_empty = 0
    with SetWriter(out, split, content.categories, info) as writer:
        for image in tqdm(images, unit="image", disable=not progress, dynamic_ncols=True):
            num_empty += _convert_image(writer, content, image, copy)
    return writer.counts, [f"left out: {num_empty} instances without a pixel"] if num_empty else []


def _convert_image(writer: SetWriter, content: CocoSet, image: CocoImage, copy: bool) -> int:
    """Write an image and its instances; returns how many of these are empty and were left out."""
    picture = content.image_root / image.file_name
    if picture_size(picture) != (image.height, image.width):
        height, width = picture_size(picture)
        said = f"{content.path.name} says {image.height} x {image.width}"
        raise BadInputError(f"{picture}: is {height} x {width}, {said}")
    video_id, folder = writer.add_video(_stem(image), image.height, image.width, [picture.name])
    num_noted = 0
    for instance in image.instances:
        try:
            code = to_compressed(msgspec.json.decode(instance.segmentation), image.height, image.width)
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"{content.path}: annotation {instance.id}: {error}") from error
        num_noted += writer.add_track(video_id, instance.category_id, [as_text(code)], instance.is_crowd)
    place_image(picture, folder / picture.name, copy)
    return len(image.instances) - num_noted


def _stem(image: CocoImage) -> str:
    """The image's name without suffix, which names the video."""
    return os.path.splitext(image.file_name)[0]
