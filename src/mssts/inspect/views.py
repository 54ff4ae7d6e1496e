"""A model's view of a video, frame by frame: activation of the encoder, and what the decoder does for each track.

Windows are those of `mssts predict`, and each frame is shown as the first window with it saw it, as its masks are.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from mssts.inspect.activation import Measure, RunningScale, activation
from mssts.inspect.recorder import Recorder, WindowRecord
from mssts.model.vis import VisModel
from mssts.predict.near_online import NearOnlinePredictor, Step
from mssts.predict.preprocess import to_clip
from mssts.predict.settings import PredictSettings
from mssts.predict.windows import cut_windows
from mssts.types import Frame, FrameResult


class TrackView(NamedTuple):
    """One track in one frame, with P sampling points; the weights by frame are those of its window of T frames.

    Attributes:
        track_id: As in `FrameResult`.
        points: Where the decoder's last layer samples in this frame, (x, y) in 0..1.
        point_weights: How much each sample counts; their sum is 1.
        frame_weights: How much each frame counts in the instance's embedding; their sum is 1.
        frame_attention: How much each frame is attended to by the temporal attention, mean over the frames that
            attend; their sum is 1. None for a model without it.
    """

    track_id: int
    points: Float[np.ndarray, "P 2"]
    point_weights: Float[np.ndarray, " P"]
    frame_weights: Float[np.ndarray, " T"]
    frame_attention: Float[np.ndarray, " T"] | None


class FrameView(NamedTuple):
    """What a model sees in one frame.

    Attributes:
        result: The frame with the instances found in it; none where nobody asked for tracks.
        activation: Of the encoder's output at the finest level.
        scale: Activation of the coldest and the hottest colour, from all windows up to this frame's.
        place: Index of the frame in its window.
        tracks: In the order of the result's instances.
    """

    result: FrameResult
    activation: Float[np.ndarray, "h w"]
    scale: tuple[float, float]
    place: int
    tracks: list[TrackView]


def encoder_views(
    model: VisModel, frames: Iterable[Frame], settings: PredictSettings, measure: Measure = "rms"
) -> Iterator[FrameView]:
    """Yield what the encoder makes of each frame; the decoder does not run."""
    scale = RunningScale()
    for window in cut_windows(frames, settings.window, settings.overlap):
        maps = activation(_encode(model, window.frames, settings.short_side), measure)
        scale.add(maps)
        for place in range(len(window.frames) - window.num_new, len(window.frames)):
            yield FrameView(_nothing_found(window.frames[place]), maps[place], scale.range(), place, [])


@torch.inference_mode()
def _encode(model: VisModel, frames: list[Frame], short_side: int) -> Float[torch.Tensor, "T C h w"]:
    """The encoder's output at the finest level."""
    clip = to_clip(frames, short_side, next(model.parameters()).device)
    return model.encode(clip).maps()[0][0]


def track_views(
    model: VisModel, frames: Iterable[Frame], settings: PredictSettings, measure: Measure = "rms"
) -> Iterator[FrameView]:
    """Yield each frame with its tracks and what the decoder's last layer did to find them."""
    scale = RunningScale()
    with Recorder(model) as recorder:
        # A step comes when the window after it is done, or at once: either way records and steps have one order.
        for step in NearOnlinePredictor(model, settings).steps(frames):
            record = recorder.take()
            maps = activation(record.memory, measure)
            scale.add(maps)
            first_place = len(maps) - len(step.results)
            for place, result in enumerate(step.results, start=first_place):
                tracks = [_track_view(record, step, int(track_id), place) for track_id in result.track_ids]
                yield FrameView(result, maps[place], scale.range(), place, tracks)


def _track_view(record: WindowRecord, step: Step, track_id: int, place: int) -> TrackView:
    """A track as the query that found it in the window sees it."""
    query = step.queries[track_id]
    attention = record.frame_attention
    return TrackView(
        track_id=track_id,
        points=record.points[query, place].numpy(),
        point_weights=record.point_weights[query, place].numpy(),
        frame_weights=record.frame_weights[query].numpy(),
        frame_attention=None if attention is None else attention[query].mean(0).numpy(),
    )


def _nothing_found(frame: Frame) -> FrameResult:
    """A frame without instances."""
    height, width, _ = frame.image.shape
    return FrameResult(
        index=frame.index,
        time_s=frame.time_s,
        image=frame.image,
        masks=np.zeros((0, height, width), dtype=bool),
        boxes=np.zeros((0, 4), dtype=np.float32),
        labels=np.zeros(0, dtype=np.int64),
        scores=np.zeros(0, dtype=np.float32),
        track_ids=np.zeros(0, dtype=np.int64),
    )
