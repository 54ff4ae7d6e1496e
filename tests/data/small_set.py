"""A sound set of two small videos in YouTube-VIS form, for tests to spoil."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 12, 16


def square(x: int, y: int, side: int, form: str = "compressed") -> Any:
    """The segmentation of a square in one of the three forms of annotation files."""
    if form == "polygon":
        return [[x, y, x + side, y, x + side, y + side, x, y + side]]
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    mask[y : y + side, x : x + side] = 1
    if form == "compressed":
        return {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(mask)["counts"].decode()}
    pixels = mask.T.flatten()
    changes = np.flatnonzero(np.diff(pixels, prepend=0))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(changes, prepend=0, append=pixels.size).tolist()}


def small_document() -> dict[str, Any]:
    """Videos 1 (3 frames) and 2 (2 frames), three tracks in all three forms, absent frames, two categories."""
    return {
        "info": {"description": "a small set"},
        "videos": [
            {"id": 1, "height": HEIGHT, "width": WIDTH, "length": 3, "file_names": [f"a/{i}.png" for i in range(3)]},
            {"id": 2, "height": HEIGHT, "width": WIDTH, "length": 2, "file_names": [f"b/{i}.jpg" for i in range(2)]},
        ],
        "categories": [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {
                "id": 10,
                "video_id": 1,
                "category_id": 4,
                "iscrowd": 0,
                "segmentations": [square(2, 3, 4), None, square(5, 3, 6, "counts")],
                "bboxes": [[2, 3, 4, 4], None, [5.0, 3.0, 6.0, 6.0]],
            },
            {
                "id": 11,
                "video_id": 2,
                "category_id": 9,
                "segmentations": [square(1, 1, 5, "polygon"), square(2, 2, 5)],
                "bboxes": [[1, 1, 5, 5], [2, 2, 5, 5]],
            },
            {
                "id": 12,
                "video_id": 1,
                "category_id": 4,
                "segmentations": [square(8, 0, 4), square(8, 1, 4), None],
                "bboxes": [[8, 0, 4, 4], [8, 1, 4, 4], None],
            },
        ],
    }


def coco_document() -> dict[str, Any]:
    """Two images of the same kind in COCO's detection form, with two annotations on the first."""
    return {
        "images": [
            {"id": 1, "height": HEIGHT, "width": WIDTH, "file_name": "a/0.png"},
            {"id": 2, "height": HEIGHT, "width": WIDTH, "file_name": "b/0.jpg"},
        ],
        "categories": [{"id": 4, "name": "cat"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 4,
                "iscrowd": 0,
                "segmentation": square(2, 3, 4, "polygon"),
                "bbox": [2, 3, 4, 4],
            },
            {
                "id": 2,
                "image_id": 1,
                "category_id": 4,
                "iscrowd": 1,
                "segmentation": square(6, 3, 4, "counts"),
                "bbox": [6, 3, 4, 4],
            },
        ],
    }


def write_frames(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (90, 140, 20)).save(path)


def write_set(folder: Path, document: Any, annotations: str = "train.json", images: str = "train/JPEGImages") -> Path:
    """Write the frames and the annotations; text is written as it is. Returns the annotation file."""
    write_frames(folder / images, [name for video in small_document()["videos"] for name in video["file_names"]])
    path = folder / annotations
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path
