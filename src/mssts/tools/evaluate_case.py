"""A seeded case for timing the evaluator: ground truth and results as large as those of a public validation set.

Masks are blobs, written straight as run-length codes. A blob that moves keeps its code but for the first and the last
count, so half a million masks take seconds.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Int64

HEIGHT, WIDTH = 720, 1280
NUM_VIDEOS = 300
NUM_FRAMES = 20
NUM_PREDICTIONS = 100
NUM_CATEGORIES = 40
SEED = 0

_NUM_TRUTHS = 4
_NUM_OBJECTS = 60
_NUM_VARIANTS = 5
_MIN_WIDTH, _MAX_WIDTH = 60, 500
_MAX_HEIGHT = 600
# Shares of predictions that follow a ground-truth track (the others are clutter), of those with its class, of frames
# without a mask.
_FOLLOWING = 0.6
_RIGHT_CLASS = 0.85
_HIDDEN = 1 / 15


class CaseFiles(NamedTuple):
    """The files of a case, and how many predictions and masks the results hold."""

    truth: Path
    results: Path
    num_predictions: int
    num_masks: int


class _Blob(NamedTuple):
    """A shape: its code without the first and last count, and what those two follow from, in pixels."""

    middle: str
    height: int
    width: int
    top: int  # of the first column within the box
    span: int  # from the first pixel to the last, in column order
    last_gap: int  # which the last count is coded against


class _Track(NamedTuple):
    """An object that moves: which one, the box's left upper corner per frame, and its class."""

    blobs: list[_Blob]
    corners: Int64[np.ndarray, "frames xy"]
    category_id: int


def write_case(folder: Path, num_videos: int = NUM_VIDEOS) -> CaseFiles:
    """Write `gt.json` and `results.json`; the same number of videos gives the same bytes."""
    random = np.random.default_rng(SEED)
    objects = [_draw_object(random) for _ in range(_NUM_OBJECTS)]
    files = CaseFiles(folder / "gt.json", folder / "results.json", num_videos * NUM_PREDICTIONS, 0)
    annotations: list[dict] = []
    num_masks = 0
    with files.results.open("wb") as file:
        for video_id in range(1, num_videos + 1):
            tracks = _draw_tracks(random, objects)
            annotations += [
                _annotation(random, track, video_id, len(annotations) + place) for place, track in enumerate(tracks, 1)
            ]
            results = [_result(random, tracks, objects, video_id) for _ in range(NUM_PREDICTIONS)]
            num_masks += sum(mask is not None for result in results for mask in result["segmentations"])
            file.write((b"[" if video_id == 1 else b",") + msgspec.json.encode(results)[1:-1])
        file.write(b"]")
    files.truth.write_bytes(msgspec.json.encode(_videos_and_classes(num_videos) | {"annotations": annotations}))
    return files._replace(num_masks=num_masks)


def _videos_and_classes(num_videos: int) -> dict[str, list[dict]]:
    """The parts of an annotation file that name the videos and categories."""
    videos = [
        {
            "id": video_id,
            "height": HEIGHT,
            "width": WIDTH,
            "file_names": [f"{video_id}/{frame:05}.jpg" for frame in range(NUM_FRAMES)],
        }
        for video_id in range(1, num_videos + 1)
    ]
    return {"videos": videos, "categories": [{"id": id_, "name": f"{id_}"} for id_ in range(1, NUM_CATEGORIES + 1)]}


def _draw_object(random: np.random.Generator) -> list[_Blob]:
    """Some shapes of one object, which differ as an object's masks do from frame to frame."""
    width = int(random.integers(_MIN_WIDTH, _MAX_WIDTH))
    height = float(np.clip(width * random.uniform(0.5, 1.5), _MIN_WIDTH / 2, _MAX_HEIGHT / 1.3))
    wobble = random.uniform(0, 2 * np.pi, 4)
    return [_draw_blob(random, int(width * random.uniform(0.95, 1.05)), height, wobble) for _ in range(_NUM_VARIANTS)]


def _draw_blob(random: np.random.Generator, width: int, height: float, wobble: np.ndarray) -> _Blob:
    """An ellipse with an uneven rim."""
    place = np.linspace(-0.99, 0.99, width)
    half = height / 2 * np.sqrt(1 - place**2)
    rims = [
        half * (1 + 0.15 * np.sin(5 * place + wobble[2 * side]) + 0.05 * np.sin(23 * place + wobble[2 * side + 1]))
        + random.uniform(0, 3, width)
        for side in range(2)
    ]
    tops, bottoms = np.floor(-rims[0]).astype(np.int64), np.ceil(rims[1]).astype(np.int64)
    tops, bottoms = tops - tops.min(), bottoms - tops.min()
    lengths, gaps = bottoms - tops, HEIGHT - bottoms[:-1] + tops[1:]
    counts = np.empty(2 * width - 1, dtype=np.int64)
    counts[::2], counts[1::2] = lengths, gaps
    # From a code's fourth count on, what is stored is the difference to the count two before.
    stored = np.concatenate([counts[:2], counts[2:] - counts[:-2]])
    middle = "".join(map(_digits, stored.tolist()))
    return _Blob(middle, int(bottoms.max()), width, int(tops[0]), int(counts.sum()), int(gaps[-1]))


def _digits(value: int) -> str:
    """A stored count: groups of 5 bits, lowest first; bit 5 says that it goes on."""
    text = ""
    while True:
        digit, value = value & 31, value >> 5
        if value == (-1 if digit & 16 else 0):
            return text + chr(48 + digit)
        text += chr(48 + 32 + digit)


def _draw_tracks(random: np.random.Generator, objects: list[list[_Blob]]) -> list[_Track]:
    """The ground truth of one video; often of one class, as herds are."""
    category_ids = random.integers(1, NUM_CATEGORIES + 1, 2)
    return [_draw_track(random, objects, int(random.choice(category_ids))) for _ in range(_NUM_TRUTHS)]


def _draw_track(random: np.random.Generator, objects: list[list[_Blob]], category_id: int) -> _Track:
    """An object that moves in a straight line."""
    start, speed = random.uniform(0, (WIDTH, HEIGHT)) * 0.7, random.uniform(-10, 10, 2)
    corners = start + speed * np.arange(NUM_FRAMES)[:, None]
    return _Track(objects[random.integers(len(objects))], corners.astype(np.int64), category_id)


def _masks(random: np.random.Generator, track: _Track, jitter: float) -> list[dict | None]:
    """The track's masks, moved by up to some pixels; a few are missing."""
    corners = (track.corners + random.uniform(-jitter, jitter, track.corners.shape)).astype(np.int64)
    blobs = [track.blobs[index] for index in random.integers(0, len(track.blobs), len(corners))]
    hidden = random.random(len(corners)) < _HIDDEN
    return [
        None if is_hidden else {"size": [HEIGHT, WIDTH], "counts": _code(blob, x, y)}
        for blob, (x, y), is_hidden in zip(blobs, corners.tolist(), hidden, strict=True)
    ]


def _code(blob: _Blob, x: int, y: int) -> str:
    """The code of a blob with this left upper corner, or the nearest that is within the frame."""
    x, y = min(max(x, 0), WIDTH - blob.width), min(max(y, 0), HEIGHT - blob.height)
    first = x * HEIGHT + y + blob.top
    return _digits(first) + blob.middle + _digits(HEIGHT * WIDTH - first - blob.span - blob.last_gap)


def _annotation(random: np.random.Generator, track: _Track, video_id: int, id_: int) -> dict:
    """A ground-truth track as its file holds it; the boxes are the corners alone, as no evaluation needs them."""
    return {
        "id": id_,
        "video_id": video_id,
        "category_id": track.category_id,
        "segmentations": _masks(random, track, jitter=0.0),
        "bboxes": [[x, y, 1, 1] for x, y in track.corners.tolist()],
        "iscrowd": 0,
    }


def _result(random: np.random.Generator, tracks: list[_Track], objects: list[list[_Blob]], video_id: int) -> dict:
    """A prediction: a ground-truth track found more or less well, or clutter with a low score."""
    category_id = int(random.integers(1, NUM_CATEGORIES + 1))
    if random.random() < _FOLLOWING:
        track, jitter = tracks[random.integers(len(tracks))], random.uniform(0, 60)
        score = random.random() * (1 - jitter / 80)
        category_id = track.category_id if random.random() < _RIGHT_CLASS else category_id
    else:
        track, jitter, score = _draw_track(random, objects, category_id), 5.0, random.random() * 0.3
    masks = _masks(random, track, jitter)
    return {"video_id": video_id, "category_id": category_id, "score": round(score, 6), "segmentations": masks}
