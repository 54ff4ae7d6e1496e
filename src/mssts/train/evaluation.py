"""Evaluation during training: video AP of the model as it is, and a picture of what it sees."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from mssts.data.synthetic_set import write_synthetic_set
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError, ResourceError
from mssts.evaluate.results_file import Result
from mssts.evaluate.run_model import evaluate_model, read_frames
from mssts.evaluate.video_ap import evaluate_video_ap
from mssts.model.vis import VisModel
from mssts.predict.near_online import NearOnlinePredictor
from mssts.predict.settings import PredictSettings
from mssts.train.config import TrainConfig
from mssts.train.preflight import find_evaluation_set
from mssts.visualize.overlay import draw_overlay

# The synthetic set that is made for evaluation during training; its seed is not the one that results are told of.
SYNTHETIC_SEED = 1
PICTURE_CONFIDENCE = 0.3


class Evaluation(NamedTuple):
    """The evaluator's numbers (shares 0..1, -1 where undefined) and a frame with the model's instances drawn in."""

    numbers: dict[str, float]
    picture: UInt8[np.ndarray, "H W 3"] | None


class Evaluator:
    """Evaluates a model in training on a fixed set.

    Args:
        config: Of a training with `evaluation.data`.

    Raises:
        BadInputError: The set cannot be read or has no ground truth.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config.evaluation
        self.truth = validation_set(config)

    def __call__(self, model: VisModel, should_stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """Evaluate, or give up with None between two videos if asked to stop; leaves the model in its mode."""
        device = next(model.parameters()).device
        results: list[Result] = []
        for video in tqdm(self.truth.videos, "evaluation", unit="video", leave=False, disable=None):
            if should_stop():
                return None
            one = self.truth._replace(videos=(video,))
            results += evaluate_model(model, one, device=device, mode=self.config.mode, progress=False)
        was_training = model.training
        picture = _draw(model.eval(), self.truth)
        model.train(was_training)
        return Evaluation(evaluate_video_ap(self.truth, results).numbers, picture)


def validation_set(config: TrainConfig) -> VideoSet:
    """The first videos of the set to evaluate on; the synthetic one is written first, if it is not there yet.

    Args:
        config: Of a training with `evaluation.data`.

    Raises:
        BadInputError: The set cannot be read or has no ground truth.
    """
    wanted = config.evaluation
    truth = load_video_set(find_evaluation_set(config) or _synthetic_set(config), wanted.split)
    if not truth.has_truth:
        raise BadInputError(f"{truth.path}: has no ground truth to evaluate with")
    videos = truth.videos[: wanted.num_videos]
    kept = {video.id for video in videos}
    return truth._replace(videos=videos, tracks=tuple(track for track in truth.tracks if track.video_id in kept))


def _synthetic_set(config: TrainConfig) -> Path:
    """The folder of the synthetic set to evaluate on, in the run folder; named after all that decides what is in it.

    It gets its name when it is whole, so a killed process leaves no broken one, and of several processes that share a
    run folder one wins and the others take its set.

    Raises:
        ResourceError: It cannot be written.
    """
    wanted, height, width = config.evaluation, config.synthetic.height, config.synthetic.width
    folder = config.out / f"validation-{wanted.num_videos}-{height}x{width}"
    if (folder / wanted.split).exists():
        return folder
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".validation-", dir=config.out) as made:
            write_synthetic_set(
                Path(made), wanted.split, wanted.num_videos, SYNTHETIC_SEED, height, width, progress=False
            )
            folder.mkdir(exist_ok=True)
            with suppress(OSError):
                (Path(made) / wanted.split).rename(folder / wanted.split)
    except OSError as error:
        raise ResourceError(
            f"{folder}: the set to evaluate on cannot be written ({error.strerror or error})"
        ) from error
    return folder


@torch.inference_mode()
def _draw(model: VisModel, truth: VideoSet) -> UInt8[np.ndarray, "H W 3"] | None:
    """The last frame of the first video's first window with the instances found there."""
    window = model.config.num_frames
    settings = PredictSettings(PICTURE_CONFIDENCE, window, overlap=0, short_side=model.config.short_side)
    frames = list(read_frames(truth, truth.videos[0]))[:window]
    names = [""] * model.config.num_class_slots
    for category in model.config.categories:
        names[category.slot] = category.name
    results = [result for step in NearOnlinePredictor(model, settings).steps(frames) for result in step.results]
    return draw_overlay(results[-1], names)
