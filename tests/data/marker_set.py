"""Sets in which every instance is painted with a colour of its own, so that pixels tell where the masks must be."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from mssts.data.augmentation import AugmentationConfig
from mssts.data.batch import Sample
from mssts.data.normalise import IMAGENET_MEAN, IMAGENET_STD
from mssts.data.set_writer import encode_mask

HEIGHT, WIDTH, NUM_FRAMES = 90, 120, 8
COLOURS = {1: (250, 10, 10), 2: (10, 250, 10), 3: (10, 10, 250), 4: (250, 250, 10)}
CROWD, BACKGROUND = (250, 10, 250), (10, 10, 10)
CATEGORIES = [
    {"id": 30, "name": "red"},
    {"id": 10, "name": "green"},
    {"id": 20, "name": "blue"},
    {"id": 5, "name": "rest"},
]
CATEGORY_OF = {1: 30, 2: 10, 3: 20, 4: 5}
PLAIN = AugmentationConfig(
    photometric=False,
    short_sides=(45, 60, 80),
    max_long_side=110,
    crop_short_sides=(70, 90, 100),
    crop_sides=(45, 70),
)


def marker_masks(frame: int) -> Bool[np.ndarray, "4 H W"]:
    """A moving ellipse, a moving rectangle that covers it, one that is absent from half of the frames, a crowd."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rectangle = (np.abs(y - 40) < 18) & (np.abs(x - 60 - 3 * frame) < 12)
    ellipse = (((y - 45) / 30) ** 2 + ((x - 35 - 3 * frame) / 25) ** 2 < 1) & ~rectangle
    fleeting = (np.abs(y - 78) < 9) & (np.abs(x - 100) < 14) & (frame % 2 == 0) & ~ellipse & ~rectangle
    crowd = (y < 12) & (x < 20)
    return np.stack([ellipse, rectangle, fleeting, crowd])


def marker_frame(frame: int) -> UInt8[np.ndarray, "H W 3"]:
    image = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:] = BACKGROUND
    for mask, colour in zip(marker_masks(frame), [*list(COLOURS.values())[:3], CROWD], strict=True):
        image[mask] = colour
    return image


def write_marker_videos(folder: Path) -> Path:
    """One video with three instances and a crowd, and one whose only track is a crowd."""
    names = [f"clip/{frame}.png" for frame in range(NUM_FRAMES)]
    for frame, name in enumerate(names):
        _save(folder / "train" / "JPEGImages" / name, marker_frame(frame))
    masks = np.stack([marker_masks(frame) for frame in range(NUM_FRAMES)], axis=1)
    annotations = [
        {
            "id": number,
            "video_id": video_id,
            "category_id": CATEGORY_OF[number],
            "iscrowd": int(number == 4),
            "segmentations": [encode_mask(mask) for mask in masks[number - 1]],
            "bboxes": [[0, 0, 1, 1]] * NUM_FRAMES,  # nobody is to use them
        }
        for number, video_id in ((1, 2), (2, 2), (3, 2), (4, 2))
    ]
    annotations.append(annotations[-1] | {"id": 5, "video_id": 1})
    videos = [{"id": id_, "height": HEIGHT, "width": WIDTH, "file_names": names} for id_ in (1, 2)]
    return _write(folder / "train.json", {"videos": videos, "annotations": annotations, "categories": CATEGORIES})


def write_marker_images(folder: Path) -> Path:
    """In COCO form: an image with three instances and a crowd, one without any, one with 26."""
    names = [f"{number:012d}.png" for number in range(3)]
    for name in names:
        _save(folder / "train2017" / name, marker_frame(0))
    codes = [encode_mask(mask) for mask in marker_masks(0)]
    annotations = [(0, number, codes[number - 1], number == 4) for number in CATEGORY_OF]
    annotations += [(2, 1, codes[0], False)] * 26
    content = {
        "images": [{"id": id_, "height": HEIGHT, "width": WIDTH, "file_name": name} for id_, name in enumerate(names)],
        "annotations": [
            {
                "id": id_,
                "image_id": image_id,
                "category_id": CATEGORY_OF[number],
                "segmentation": code,
                "iscrowd": int(crowd),
            }
            for id_, (image_id, number, code, crowd) in enumerate(annotations)
        ],
        "categories": CATEGORIES,
    }
    return _write(folder / "annotations" / "instances_train2017.json", content)


def pixels_of(sample: Sample) -> UInt8[np.ndarray, "T H W 3"]:
    """A clip's frames as pictures."""
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (sample.frames * std + mean).round().byte().permute(0, 2, 3, 1).numpy()


def assert_well_formed(sample: Sample, num_frames: int, num_slots: int) -> None:
    """What any clip of any set must fulfil; boxes are compared with naively searched ones."""
    frames, (labels, boxes, masks) = sample
    height, width = frames.shape[2:]
    assert frames.shape == (num_frames, 3, height, width)
    assert frames.dtype == torch.float32
    assert masks.shape == (len(labels), num_frames, height, width)
    assert masks.any(dim=(1, 2, 3)).all()
    assert torch.isfinite(frames).all()
    assert -2.2 < frames.min() < frames.max() < 2.7
    assert labels.dtype == torch.int64
    assert ((labels >= 0) & (labels < num_slots)).all()
    assert boxes.dtype == torch.float32
    for mask, box in zip(masks.flatten(0, 1), boxes.flatten(0, 1), strict=True):
        rows, columns = torch.nonzero(mask, as_tuple=True)
        if len(rows) == 0:
            assert (box == 0).all()
            continue
        low = torch.stack([columns.min() / width, rows.min() / height])
        high = torch.stack([(columns.max() + 1) / width, (rows.max() + 1) / height])
        torch.testing.assert_close(box, torch.cat([(low + high) / 2, high - low]), atol=1e-5, rtol=0)


def assert_masks_lie_on_markers(sample: Sample, colours: list[tuple[int, int, int]], blurred_px: int) -> None:
    """Masks and marker colours agree but for a seam.

    Args:
        sample: The clip.
        colours: Of its instances.
        blurred_px: How far resizing may smear the colours.
    """
    for frame, masks in zip(pixels_of(sample).astype(float), sample.targets.masks.transpose(0, 1), strict=True):
        for colour, mask in zip(colours, masks.numpy(), strict=True):
            painted = np.abs(frame - colour).max(axis=-1) < 120
            assert not (_shrink(mask, blurred_px) & ~painted).any()
            assert not (_shrink(painted, blurred_px) & ~mask).any()


def _shrink(mask: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        padded = np.pad(mask, 1)
        mask = mask & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return mask


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def _write(path: Path, content: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
