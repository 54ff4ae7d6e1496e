"""Predict a source into a track store, in either mode, from the start or from where an earlier run stopped."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mssts.errors import BadInputError, PartialInputError
from mssts.model.vis import VisModel
from mssts.predict.near_online import BEST_SCORE, NearOnlinePredictor, Step, TrackClasses
from mssts.predict.offline import predict_offline
from mssts.predict.settings import PredictSettings
from mssts.predict.stitch import Linker, LinkerConfig
from mssts.predict.stored import to_stored
from mssts.predict.track_store import TrackStore
from mssts.predict.video import open_source
from mssts.types import Frame, FrameResult


class Fault:
    """Frames of a source up to where it breaks off, and the reason, which is raised after they are dealt with."""

    def __init__(self) -> None:
        self.reason: PartialInputError | None = None

    def guard(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Pass on the good frames, then end."""
        try:
            yield from frames
        except PartialInputError as error:
            self.reason = error


def near_online_job(
    model: VisModel, source: str | Path | int, settings: PredictSettings, store: TrackStore
) -> Iterator[FrameResult]:
    """Yield results window by window, each committed to the store first; goes on where the store ends.

    Raises:
        PartialInputError: The source broke off; the results of all frames before that were yielded and stored.
    """
    done = store.num_frames
    fault = Fault()
    with open_source(source, start_frame=max(0, done - settings.window)) as video:
        # Who watches a camera wants to see what happens now.
        settings = replace(settings, keep_brief=settings.keep_brief or video.is_live)
        predictor = _resumed(model, settings, store) if done else NearOnlinePredictor(model, settings)
        for step in predictor.steps(fault.guard(iter(video)), first_new=done):
            commit(store, step)
            yield from step.results
    if fault.reason:
        raise fault.reason


def _resumed(model: VisModel, settings: PredictSettings, store: TrackStore) -> NearOnlinePredictor:
    """A predictor in the state that it had when the store's last window was committed."""
    state = store.linker_state() or {}
    linker = Linker.from_state(LinkerConfig(), state)
    live = set(linker.live().tolist())
    classes = TrackClasses()
    for track_id, score_sum, num_windows in store.class_sums():
        if track_id in live:
            classes.add(track_id, score_sum, num_windows)
    predictor = NearOnlinePredictor(model, settings, linker, classes)
    predictor.best_score = float(state.get(BEST_SCORE, 0.0))
    return predictor


def offline_job(
    model: VisModel, source: str | Path | int, settings: PredictSettings, store: TrackStore
) -> Iterator[FrameResult]:
    """Yield the results of the official protocol; the source is decoded twice, the model runs first.

    Raises:
        BadInputError: The source is live and cannot be read twice.
        PartialInputError: The source broke off; the results of all frames before that were yielded and stored.
    """
    fault = Fault()
    with open_source(source) as video:
        if video.is_live:
            raise BadInputError(f"{video.name}: a live source has no end; offline mode needs a file")
        instances = predict_offline(model, fault.guard(iter(video)), settings)
    scores = {}
    for track_id, (slot, score) in enumerate(zip(instances.slots, instances.scores, strict=True), start=1):
        scores[track_id] = np.zeros(model.config.num_class_slots, dtype=np.float32)
        scores[track_id][slot] = score
    with open_source(source) as video:
        for result in instances.results(fault.guard(iter(video))):
            commit(store, Step([result], scores, {BEST_SCORE: np.array(instances.best_score)}, {}))
            scores = {}
            yield result
    if fault.reason:
        raise fault.reason


def commit(store: TrackStore, step: Step) -> None:
    """Store a step in one transaction."""
    store.append([to_stored(result) for result in step.results], step.class_scores, step.linker_state)
