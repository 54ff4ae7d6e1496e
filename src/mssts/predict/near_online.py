"""Near-online inference: windows of T frames, linked to tracks; memory does not grow with the video.

Paper: leaves long videos open. Each frame's masks come from the first window that holds it. A track is reported once a
second window is sure of it, as trackers of single frames ask for several hits; so results come one window late.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mssts.model.precision import computing_in
from mssts.model.vis import VisModel
from mssts.predict.compose import compose_frame, keep_tracks
from mssts.predict.postprocess import confident_queries, distinct, masks_of
from mssts.predict.preprocess import to_clip
from mssts.predict.settings import PredictSettings
from mssts.predict.stitch import Linker
from mssts.predict.windows import Window, cut_windows
from mssts.types import Frame, FrameResult, WindowDetections

BEST_SCORE = "best_score"


class Step(NamedTuple):
    """What one window adds: the results of its new frames, its class scores per track, the linker's state after it.

    With that state goes the best score of any query so far, as `BEST_SCORE`. `queries` are the numbers of the model's
    queries that found the tracks in this window, by track id.
    """

    results: list[FrameResult]
    class_scores: dict[int, Float[np.ndarray, " slots"]]
    linker_state: dict[str, np.ndarray]
    queries: dict[int, int]


class TrackClasses:
    """Class scores of each track, averaged over its windows: what a track is called does not flicker."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[Float[np.ndarray, " slots"], int]] = {}

    def add(self, track_id: int, scores: Float[np.ndarray, " slots"], count: int = 1) -> None:
        """Count scores that were summed over `count` windows."""
        total, windows = self._sums.get(track_id, (np.zeros(len(scores)), 0))
        self._sums[track_id] = (total + scores, windows + count)

    def keep(self, track_ids: Int[np.ndarray, " M"]) -> None:
        """Forget all tracks but these, so that memory does not grow with those that have ended."""
        self._sums = {track_id: self._sums[track_id] for track_id in track_ids.tolist() if track_id in self._sums}

    def __len__(self) -> int:
        """The number of tracks that are remembered."""
        return len(self._sums)

    def best(self, track_id: int) -> tuple[int, float]:
        """The class slot with the highest mean score, and that score."""
        total, windows = self._sums[track_id]
        slot = int(total.argmax())
        return slot, float(total[slot] / windows)


class NearOnlinePredictor:
    """Runs the model window by window and keeps what linking needs between windows.

    Attributes:
        best_score: Of any query and class so far, found or not; with it a run that finds nothing can say why.
    """

    def __init__(
        self,
        model: VisModel,
        settings: PredictSettings,
        linker: Linker | None = None,
        classes: TrackClasses | None = None,
    ) -> None:
        self.model = model
        self.settings = settings
        self.linker = linker or Linker()
        self.classes = TrackClasses() if classes is None else classes
        self.best_score = 0.0
        self.named_slots = named_slots(model)
        self._least_score = settings.confidence * settings.doubt

    def steps(self, frames: Iterable[Frame], first_new: int = 0) -> Iterator[Step]:
        """Yield the results of each window in order; see `cut_windows` for `first_new`.

        Unless `settings.keep_brief`, a step waits for the next window, and what fewer than two windows are sure of by
        then is left out; so is what begins in the last window: of that most is no object (docs/log.md). Of a video
        that is no longer than one window, everything is kept.
        """
        waiting: Step | None = None
        for window in cut_windows(frames, self.settings.window, self.settings.overlap, first_new):
            step = self._step(window)
            if self.settings.keep_brief:
                yield step
                continue
            if waiting is not None:
                yield self._without_brief(waiting)
            waiting = step
        if waiting is not None:
            is_only_window = waiting.results[0].index == 0
            yield waiting if is_only_window else self._without_brief(waiting)

    def _without_brief(self, step: Step) -> Step:
        """The step without the instances of tracks that only one window was sure of so far."""
        confirmed = self.linker.confirmed()
        return step._replace(results=[keep_tracks(result, confirmed) for result in step.results])

    def _step(self, window: Window) -> Step:
        """Detect, link, and compose the new frames."""
        detections, input_size = self.detect(window.frames)
        sure = detections.class_scores.max(axis=1) >= self.settings.confidence
        track_ids = self.linker.step(detections, sure)
        detections, track_ids = _take(detections, track_ids > 0), track_ids[track_ids > 0]
        for track_id, scores in zip(track_ids, detections.class_scores, strict=True):
            self.classes.add(int(track_id), scores)
        named = [self.classes.best(int(track_id)) for track_id in track_ids]
        results = [
            compose_frame(window.frames[index], detections.mask_logits[:, index], input_size, track_ids, named)
            for index in range(len(window.frames) - window.num_new, len(window.frames))
        ]
        class_scores = dict(zip(map(int, track_ids), detections.class_scores, strict=True))
        queries = dict(zip(track_ids.tolist(), detections.queries.tolist(), strict=True))
        self.classes.keep(self.linker.live())
        state = self.linker.state() | {BEST_SCORE: np.array(self.best_score)}
        return Step(results, class_scores, state, queries)

    @torch.inference_mode()
    def detect(self, frames: list[Frame]) -> tuple[WindowDetections, tuple[int, int]]:
        """Find the instances of one window; also returns the height and width that the model saw."""
        device = next(self.model.parameters()).device
        clip = to_clip(frames, self.settings.short_side, device)
        input_size = (clip.shape[-2], clip.shape[-1])
        with computing_in(self.settings.precision, device):
            prediction = self.model(clip)
        class_scores = prediction.class_logits[-1][0].float().sigmoid() * self.named_slots
        self.best_score = max(self.best_score, float(class_scores.max()))
        queries = confident_queries(class_scores, self._least_score, self.settings.max_instances)
        mask_logits = masks_of(prediction, queries, input_size)
        kept = distinct(mask_logits, self.settings.max_duplicate_iou)
        queries = queries[kept]
        return WindowDetections(
            first_frame=frames[0].index,
            mask_logits=mask_logits[kept].float().cpu().numpy(),
            boxes=prediction.boxes_cxcywh[-1][0][:, queries].transpose(0, 1).float().cpu().numpy(),
            class_scores=class_scores[queries].float().cpu().numpy(),
            embeddings=prediction.embeddings[-1][0][queries].float().cpu().numpy(),
            queries=queries.cpu().numpy(),
        ), input_size


def _take(detections: WindowDetections, kept: Bool[np.ndarray, " K"]) -> WindowDetections:
    """Some of the detections."""
    first_frame, *columns = detections
    return WindowDetections(first_frame, *(column[kept] for column in columns))


def named_slots(model: VisModel) -> torch.Tensor:
    """1 for class slots that a category names, 0 for the others; all 1 where the model names none."""
    named = [category.slot for category in model.config.categories] or list(range(model.config.num_class_slots))
    mask = torch.zeros(model.config.num_class_slots, device=next(model.parameters()).device)
    mask[named] = 1.0
    return mask
