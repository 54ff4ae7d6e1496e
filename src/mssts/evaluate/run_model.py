"""Runs a model over the videos of a set and gives the results that the evaluator takes.

The two modes are those of `mssts predict`; only the choice of instances differs: no threshold cuts what video AP ranks,
and one instance may appear with several classes, as the official protocol has it.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from mssts.data.rle import Segmentation
from mssts.data.video_set import Video, VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.class_map import map_classes
from mssts.evaluate.results_file import Result
from mssts.model.precision import Precision
from mssts.model.vis import VisModel
from mssts.predict.compose import encode_mask
from mssts.predict.images import read_image
from mssts.predict.near_online import NearOnlinePredictor
from mssts.predict.offline import OFFICIAL_NUM_PAIRS, predict_offline
from mssts.predict.settings import PredictSettings
from mssts.types import Frame, FrameResult

Mode = Literal["near-online", "offline"]
# Low enough that what is left out hardly moves video AP, and high enough that noise does not take the linker's tracks.
NEAR_ONLINE_CONFIDENCE = 0.05
OVERLAP = 2
# The sets' frames carry no times; nothing here depends on them.
_FPS = 30.0


class _Instances(NamedTuple):
    """The instances of one video: masks per frame, and a score per class slot."""

    segmentations: list[list[Segmentation | None]]
    class_scores: Float[np.ndarray, "K slots"]


class _Choice(NamedTuple):
    """How many pairs of instance and class are kept, of which class slots."""

    num_pairs: int
    slots: list[int]

    def best_pairs(self, class_scores: Float[np.ndarray, "K slots"]) -> list[tuple[int, int]]:
        """Row and slot of the best pairs, best first."""
        scores = class_scores[:, self.slots]
        best = np.argsort(-scores, axis=None, kind="stable")[: self.num_pairs]
        return [(int(index) // len(self.slots), self.slots[int(index) % len(self.slots)]) for index in best]


def evaluate_model(
    model: VisModel,
    truth: VideoSet,
    *,
    device: str | torch.device,
    detections_per_video: int = OFFICIAL_NUM_PAIRS,
    mode: Mode = "near-online",
    window: int | None = None,
    short_side: int | None = None,
    num_videos: int | None = None,
    precision: Precision = "fp32",
    progress: bool = True,
) -> list[Result]:
    """Find the instances of all videos of a set; the same model and set always give the same results.

    Args:
        model: Is moved to the device and left in the mode (training or inference) that it had.
        truth: The set; its tracks are not looked at.
        device: Where to run.
        detections_per_video: So many pairs of instance and class are kept, the best; official are 10.
        mode: `offline` is the official protocol, the decoder sees the whole video; `near-online` links windows.
        window: Frames per pass of the encoder; None takes the model's T.
        short_side: Of the frames as the model sees them, in pixels; None takes the model's own.
        num_videos: Only the first ones; None takes all.
        precision: The numbers that the model computes in.
        progress: Show a progress bar, and name the categories that the model does not know.

    Raises:
        BadInputError: The model knows none of the set's categories, or a frame is missing, damaged or of another size
            than the annotations say.
    """
    classes = map_classes(model.config, truth)
    if progress and classes.unknown:
        print(f"{truth.path}: the model does not know {', '.join(classes.unknown)}", file=sys.stderr)
    settings = _settings(model, mode, window or model.config.num_frames, short_side, precision)
    find = _near_online if mode == "near-online" else _offline
    choice = _Choice(detections_per_video, sorted(classes.ids))
    was_training = model.training
    model.to(device).eval()
    results: list[Result] = []
    try:
        for video in tqdm(truth.videos[:num_videos], unit="video", disable=not progress):
            instances = find(model, truth, video, settings, choice)
            results += _to_results(instances, video, classes.ids, choice)
    finally:
        model.train(was_training)
    return results


def _settings(
    model: VisModel, mode: Mode, window: int, short_side: int | None, precision: Precision
) -> PredictSettings:
    """Those of an evaluation, which ranks by score: nothing is left out that might count."""
    return PredictSettings(
        confidence=NEAR_ONLINE_CONFIDENCE if mode == "near-online" else 0.0,
        window=window,
        overlap=min(OVERLAP, window - 1),
        short_side=short_side or model.config.short_side,
        # Video AP ranks by score: there is no doubt below the threshold, and what is brief ranks low enough.
        doubt=1.0,
        keep_brief=True,
        precision=precision,
    )


def read_frames(truth: VideoSet, video: Video) -> Iterator[Frame]:
    """Read the frames of a video one by one.

    Raises:
        BadInputError: A picture is missing, damaged, or of another size than the annotations say.
    """
    for index, name in enumerate(video.file_names):
        path = truth.image_root / name
        if not path.is_file():
            raise BadInputError(f"{path}: no such file")
        image = read_image(path)
        height, width, _ = image.shape
        if (height, width) != (video.height, video.width):
            raise BadInputError(f"{path}: is {width}x{height}, the annotations say {video.width}x{video.height}")
        yield Frame(index, index / _FPS, image)


def _offline(model: VisModel, truth: VideoSet, video: Video, settings: PredictSettings, choice: _Choice) -> _Instances:
    """The queries of the best pairs; masks are made for no others."""
    found = predict_offline(model, read_frames(truth, video), settings)
    scores = found.prediction.class_logits[-1][0].sigmoid().float().cpu().numpy()
    queries = sorted({query for query, _ in choice.best_pairs(scores)})
    chosen = torch.tensor(queries, device=found.queries.device)
    count = len(queries)
    # One mask per query, however many classes it is paired with.
    found = found._replace(queries=chosen, slots=[0] * count, scores=[0.0] * count)
    codes = _collect(found.results(read_frames(truth, video)), len(video.file_names))
    empty: list[Segmentation | None] = [None] * len(video.file_names)
    return _Instances([codes.get(number, empty) for number in range(1, count + 1)], scores[queries])


def _near_online(
    model: VisModel, truth: VideoSet, video: Video, settings: PredictSettings, choice: _Choice
) -> _Instances:
    """The tracks of linked windows; a class's score is the mean over the windows that see the track."""
    window_scores: dict[int, list[np.ndarray]] = {}

    def _frame_results() -> Iterator[FrameResult]:
        for step in NearOnlinePredictor(model, settings).steps(read_frames(truth, video)):
            for track_id, scores in step.class_scores.items():
                window_scores.setdefault(track_id, []).append(scores)
            yield from step.results

    codes = _collect(_frame_results(), len(video.file_names))
    means = [np.mean(window_scores[track_id], axis=0) for track_id in codes]
    num_slots = model.config.num_class_slots
    return _Instances(list(codes.values()), np.array(means, dtype=np.float32).reshape(-1, num_slots))


def _collect(results: Iterable[FrameResult], num_frames: int) -> dict[int, list[Segmentation | None]]:
    """The run-length codes of each track that is visible somewhere, one per frame, by track id."""
    codes: dict[int, list[Segmentation | None]] = {}
    for result in results:
        for track_id, mask in zip(result.track_ids.tolist(), result.masks, strict=True):
            code = {"size": list(mask.shape), "counts": encode_mask(mask).decode("ascii")}
            codes.setdefault(track_id, [None] * num_frames)[result.index] = code
    return codes


def _to_results(instances: _Instances, video: Video, ids: dict[int, int], choice: _Choice) -> list[Result]:
    """The best pairs as results, best first; an instance without any pixel is left out, as it is officially."""
    return [
        Result(video.id, ids[slot], float(instances.class_scores[row, slot]), tuple(instances.segmentations[row]))
        for row, slot in choice.best_pairs(instances.class_scores)
        if any(instances.segmentations[row])
    ]
