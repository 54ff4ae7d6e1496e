"""Linking the instances of successive windows into tracks.

Job: give each detection of a window a track id, with a memory that does not grow with the video. Cutting the windows
and turning mask logits into results is left to the neighbours `windows` and `postprocess`.

Paper: leaves open how clips of a long video are joined. We make one assignment per window, over all live tracks. Two
instances that are both visible in a shared frame are compared by mask IoU, because it is measured at the same instant
and so does not depend on motion. All other pairs (lost tracks, objects that left or enter within the overlap) are
compared by place, with the box centre extrapolated. Embeddings and classes count in both cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from mssts.predict.assignment import assign_in_turn, mask_iou, steals
from mssts.types import WindowDetections


@dataclass(frozen=True)
class LinkerConfig:
    """Weights and thresholds of the linker. Lengths are in image sides (normalised), similarities lie in 0..1.

    Attributes:
        overlap_weight: Weight of the mask IoU; the largest, because no other cue separates identical neighbours.
        position_weight: Weight of the place where there is no IoU; small, so that a guess never beats an overlap.
        appearance_weight: Weight of the cosine similarity of the embeddings.
        class_weight: Weight of the cosine similarity of the class scores.
        min_overlap: IoU below which two masks visible in the same frame are two objects.
        min_area: Mask pixels (at the stride of the masks, summed over the shared frames) that either of two instances
            needs before a missing overlap proves that they are two.
        sure_overlap: IoU from which neither appearance nor class can veto: it is the same object, classified anew.
        duplicate_overlap: IoU in the window from which a doubtful detection may show the same object as a sure one.
        min_appearance: Cosine similarity of embeddings asked for between `min_overlap` and `sure_overlap`.
        min_appearance_apart: The same for pairs without a shared frame: appearance is then the main witness.
        min_class_agreement: Cosine similarity of class scores asked for unless the overlap is sure.
        min_score: Weighted sum below which a new track is better than the pair.
        position_sigma: Standard deviation of the extrapolated centre at once, in image sides.
        position_drift: Its growth per frame without a sight, in image sides; objects turn and stop.
        velocity_drift: Further growth per frame, as a share of the velocity: what is fast turns or bounces fast.
        max_distance: Distance in standard deviations beyond which a track cannot have moved there.
        memory: Share of the past in a track's embedding and class scores when a window is added.
        max_lost_windows: Windows without a sight after which a track ends for good.
        max_lost_tracks: Lost tracks that are kept alive at most; those lost the longest go first.
    """

    overlap_weight: float = 2.0
    position_weight: float = 0.5
    appearance_weight: float = 1.0
    class_weight: float = 1.0
    min_overlap: float = 0.1
    min_area: float = 40.0
    sure_overlap: float = 0.5
    duplicate_overlap: float = 0.25
    min_appearance: float = 0.3
    min_appearance_apart: float = 0.65
    min_class_agreement: float = 0.3
    min_score: float = 1.0
    position_sigma: float = 0.08
    position_drift: float = 0.02
    velocity_drift: float = 0.5
    max_distance: float = 3.0
    memory: float = 0.5
    max_lost_windows: int = 10
    max_lost_tracks: int = 200


class _Tracks(NamedTuple):
    """What is known of M tracks, ordered by id: centre and frame of the last sight, velocity per frame.

    Windows are counted: those that were sure of the track, and those since the last that saw it.
    """

    ids: Int[np.ndarray, " M"]
    embeddings: Float[np.ndarray, "M C"]
    class_scores: Float[np.ndarray, "M slots"]
    centres: Float[np.ndarray, "M 2"]
    velocities: Float[np.ndarray, "M 2"]
    last_frames: Int[np.ndarray, " M"]
    sure_windows: Int[np.ndarray, " M"]
    lost_windows: Int[np.ndarray, " M"]

    def take(self, rows: Int[np.ndarray, " R"] | Bool[np.ndarray, " M"]) -> "_Tracks":
        """The tracks of these rows."""
        return self._make(column[rows] for column in self)

    def join(self, other: "_Tracks") -> "_Tracks":
        """Both sets of tracks, ordered by id."""
        joined = self._make(np.concatenate(columns) for columns in zip(self, other, strict=True))
        return joined.take(np.argsort(joined.ids))


class _Window(NamedTuple):
    """The last window's masks of those tracks that were seen in it."""

    first_frame: int
    ids: Int[np.ndarray, " P"]
    masks: Bool[np.ndarray, "P T h w"]


class _Sightings(NamedTuple):
    """What a window shows of its detections: where each one first appears, and the track it would begin."""

    window_start: int
    tracks: _Tracks
    masks: Bool[np.ndarray, "K T h w"]
    first_frames: Int[np.ndarray, " K"]
    first_centres: Float[np.ndarray, "K 2"]


class Linker:
    """Gives the detections of successive windows the ids of their tracks; `step` once per window, in order."""

    def __init__(self, config: LinkerConfig | None = None) -> None:
        self.config = config or LinkerConfig()
        self._next_id = 1
        self._tracks: _Tracks | None = None
        self._window: _Window | None = None

    def step(self, detections: WindowDetections, sure: Bool[np.ndarray, " K"] | None = None) -> Int[np.ndarray, " K"]:
        """The track id of each detection; ids start at 1 and are never used for a second object.

        The sure detections choose first. The others can only go on with a track that is still free, which bridges
        moments of doubt (Zhang et al., ByteTrack, ECCV 2022, section 3); those that go on with none get 0. A track on
        which a doubtful detection lies is not free for another object beside it, however sure (see `steals`).
        A sure detection without any visible pixel gets an id of its own and is forgotten: nothing tells where it is.

        Args:
            detections: What the window shows.
            sure: Which of them may begin a track; None means all.

        Raises:
            ValueError: The window begins before the last one did.
        """
        if self._window is not None and detections.first_frame < self._window.first_frame:
            raise ValueError(f"window {detections.first_frame} comes after window {self._window.first_frame}")
        sure = np.ones(len(detections.mask_logits), dtype=bool) if sure is None else sure
        visible = np.flatnonzero(_visible(detections.mask_logits > 0).any(axis=1))
        seen = _observe(detections, visible)
        known = seen.tracks.take(np.arange(0)) if self._tracks is None else self._tracks
        overlap, comparable = _overlaps(seen, known, self._window, self.config)
        scores = _score(seen, known, overlap, comparable, self.config)
        thresholds = self.config.sure_overlap, self.config.duplicate_overlap
        scores[steals(overlap, seen.masks, sure[visible], *thresholds)] = -np.inf
        rows = assign_in_turn(scores, sure[visible], self.config.min_score)
        used = sure[visible] | (rows >= 0)

        ids = np.zeros(len(sure), dtype=np.int64)
        ids[visible] = np.append(known.ids, 0)[rows]
        fresh = sure & (ids == 0)
        ids[fresh] = self._next_id + np.arange(fresh.sum())
        self._next_id += int(fresh.sum())

        tracks = seen.tracks._replace(ids=ids[visible], sure_windows=sure[visible].astype(np.int64)).take(used)
        self._tracks = _prune(_update(known, tracks, rows[used], self.config.memory), self.config)
        self._window = _Window(detections.first_frame, tracks.ids, seen.masks[used])
        return ids

    def live(self) -> Int[np.ndarray, " M"]:
        """The ids of the tracks that may still go on, in order."""
        return np.zeros(0, dtype=np.int64) if self._tracks is None else self._tracks.ids

    def confirmed(self) -> Int[np.ndarray, " M"]:
        """The ids of those live tracks of which at least two windows were sure."""
        return np.zeros(0, dtype=np.int64) if self._tracks is None else self._tracks.ids[self._tracks.sure_windows > 1]

    def state(self) -> dict[str, np.ndarray]:
        """All that the linker remembers, as plain arrays, so that an interrupted run goes on as if nothing was."""
        arrays = {"next_id": np.array(self._next_id)}
        if self._tracks is not None and self._window is not None:
            arrays |= {f"track_{name}": column for name, column in self._tracks._asdict().items()}
            arrays["window_first_frame"] = np.array(self._window.first_frame)
            arrays["window_ids"] = self._window.ids
            arrays["window_shape"] = np.array(self._window.masks.shape)
            arrays["window_bits"] = np.packbits(self._window.masks)
        return arrays

    @classmethod
    def from_state(cls, config: LinkerConfig, state: Mapping[str, np.ndarray]) -> "Linker":
        """The linker that `state` was taken from, provided that it had the same `config`.

        Raises:
            KeyError: `state` is not from a linker.
        """
        linker = cls(config)
        linker._next_id = int(state["next_id"])
        if "window_ids" in state:
            linker._tracks = _Tracks(**{name: state[f"track_{name}"] for name in _Tracks._fields})
            shape = tuple(state["window_shape"].tolist())
            masks = np.unpackbits(state["window_bits"], count=int(np.prod(shape))).astype(bool).reshape(shape)
            linker._window = _Window(int(state["window_first_frame"]), state["window_ids"], masks)
        return linker


def _observe(detections: WindowDetections, chosen: Int[np.ndarray, " R"]) -> _Sightings:
    """What the window shows of the chosen detections, each of which has a visible pixel.

    A NaN or infinity, as half precision may produce, counts as 0, so that one bad number does not end a long run.
    """
    masks = detections.mask_logits[chosen] > 0
    visible = _visible(masks)
    first = visible.argmax(axis=1)
    last = visible.shape[1] - 1 - visible[:, ::-1].argmax(axis=1)
    rows = np.arange(len(chosen))
    centres = _finite(detections.boxes[chosen, :, :2])
    tracks = _Tracks(
        ids=np.zeros(len(chosen), dtype=np.int64),
        embeddings=_unit(_finite(detections.embeddings[chosen])),
        class_scores=_finite(detections.class_scores[chosen]),
        centres=centres[rows, last],
        velocities=_velocities(centres, visible),
        last_frames=detections.first_frame + last,
        sure_windows=np.zeros(len(chosen), dtype=np.int64),
        lost_windows=np.zeros(len(chosen), dtype=np.int64),
    )
    return _Sightings(detections.first_frame, tracks, masks, detections.first_frame + first, centres[rows, first])


def _visible(masks: Bool[np.ndarray, "R T h w"]) -> Bool[np.ndarray, "R T"]:
    return np.asarray(masks.any(axis=(2, 3)))


def _finite(numbers: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.nan_to_num(numbers.astype(np.float64), posinf=0.0, neginf=0.0)


def _unit(vectors: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "R C"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _velocities(centres: Float[np.ndarray, "R T 2"], visible: Bool[np.ndarray, "R T"]) -> Float[np.ndarray, "R 2"]:
    """Least-squares velocity per frame over the visible frames; NaN where only one frame is visible."""
    weights = visible[..., None].astype(np.float64)
    frames = np.arange(visible.shape[1], dtype=np.float64)[None, :, None]
    mean_frame = (weights * frames).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    offsets = weights * (frames - mean_frame)
    spread = (offsets**2).sum(axis=1)
    return (offsets * centres).sum(axis=1) / np.where(spread > 0, spread, np.nan)


def _score(
    seen: _Sightings,
    known: _Tracks,
    overlap: Float[np.ndarray, "K M"],
    comparable: Bool[np.ndarray, "K M"],
    config: LinkerConfig,
) -> Float[np.ndarray, "K M"]:
    """How well each detection continues each track, -inf where it cannot."""
    appearance = np.clip(seen.tracks.embeddings @ known.embeddings.T, 0, 1)
    agreement = _unit(seen.tracks.class_scores) @ _unit(known.class_scores).T
    distance = _distances(seen, known, config)

    same_class = agreement >= config.min_class_agreement
    alike = same_class & (appearance >= config.min_appearance) & (overlap >= config.min_overlap)
    near = same_class & (appearance >= config.min_appearance_apart) & (distance <= config.max_distance)
    plausible = np.where(comparable, alike | (overlap >= config.sure_overlap), near)
    place = config.position_weight * np.exp(-0.5 * distance**2)
    score = np.where(comparable, config.overlap_weight * overlap, place)
    score += config.appearance_weight * appearance + config.class_weight * agreement
    return np.where(plausible, score, -np.inf)


def _overlaps(
    seen: _Sightings, known: _Tracks, window: _Window | None, config: LinkerConfig
) -> tuple[Float[np.ndarray, "K M"], Bool[np.ndarray, "K M"]]:
    """Mask IoU summed over the frames shared with the last window, and whether it says anything.

    It says nothing when no shared frame shows both: an object that just left or enters is not a bad overlap. Nor
    does a missing overlap of fragments of a few pixels, which one pixel of error moves apart.
    """
    shape = len(seen.masks), len(known.ids)
    overlap, comparable = np.zeros(shape), np.zeros(shape, dtype=bool)
    if window is None:
        return overlap, comparable
    earlier = window.masks[:, seen.window_start - window.first_frame :]
    later = seen.masks[:, : earlier.shape[1]]
    earlier = earlier[:, : later.shape[1]]
    in_both = _visible(later).astype(np.int64) @ _visible(earlier).astype(np.int64).T > 0

    iou = mask_iou(later, earlier)
    areas = later.sum(axis=(1, 2, 3))[:, None], earlier.sum(axis=(1, 2, 3))
    large = np.minimum(*areas) >= config.min_area
    columns = np.searchsorted(known.ids, window.ids)
    overlap[:, columns] = iou
    comparable[:, columns] = in_both & (large | (iou >= config.min_overlap))
    return overlap, comparable


def _distances(seen: _Sightings, known: _Tracks, config: LinkerConfig) -> Float[np.ndarray, "K M"]:
    """Distance of each detection's first sight from each track's extrapolated centre, in standard deviations.

    An object that left can only come back inside the picture, so the extrapolation stops at the border.
    """
    gap = (seen.first_frames[:, None] - known.last_frames).astype(np.float64)
    expected = np.clip(known.centres + known.velocities * gap[..., None], 0, 1)
    distance = np.linalg.norm(seen.first_centres[:, None] - expected, axis=-1)
    drift = config.position_drift + config.velocity_drift * np.linalg.norm(known.velocities, axis=-1)
    return distance / (config.position_sigma + drift * np.abs(gap))


def _update(known: _Tracks, seen: _Tracks, rows: Int[np.ndarray, " K"], memory: float) -> _Tracks:
    """All tracks after the window: the matched ones moved on, the others lost for one window more."""
    matched = rows >= 0
    past = known.take(rows[matched])
    present = seen.take(matched)
    moved = present._replace(
        embeddings=_unit(memory * past.embeddings + (1 - memory) * present.embeddings),
        class_scores=memory * past.class_scores + (1 - memory) * present.class_scores,
        sure_windows=past.sure_windows + present.sure_windows,
        velocities=np.where(np.isnan(present.velocities), past.velocities, present.velocities),
    )
    fresh = seen.take(~matched)
    fresh = fresh._replace(velocities=np.nan_to_num(fresh.velocities))
    unseen = known.take(np.setdiff1d(np.arange(len(known.ids)), rows))
    return unseen._replace(lost_windows=unseen.lost_windows + 1).join(moved).join(fresh)


def _prune(tracks: _Tracks, config: LinkerConfig) -> _Tracks:
    """The tracks that stay alive: not lost for too long, and not too many lost ones."""
    tracks = tracks.take(tracks.lost_windows <= config.max_lost_windows)
    by_age = np.argsort(tracks.lost_windows, kind="stable")
    num_kept = int((tracks.lost_windows == 0).sum()) + config.max_lost_tracks
    return tracks.take(np.sort(by_age[:num_kept]))
