"""Which tracks a viewer gets to see, by the rules of near-online inference, on synthetic videos.

    mssts data synthesize data/s500 --split valid --videos 30 --seed 500
    python benchmarks/track_rules.py data/s500

Each window goes through the model once; every rule then links the same detections. A track is right if its tube has an
IoU of at least 0.5 with an object's, whatever the class; the agreement is the summed IoU of the best assignment over
the larger number of tracks. Masks are compared at stride 4. `--one-assignment` lets doubtful detections choose together
with the sure ones instead of after them. `--model FILE` judges other weights.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

import mssts
from mssts.data.rle import decode
from mssts.data.video_set import Track, Video, load_video_set
from mssts.evaluate.run_model import read_frames
from mssts.predict import stitch
from mssts.predict.assignment import assign
from mssts.predict.near_online import NearOnlinePredictor
from mssts.predict.windows import cut_windows
from mssts.types import Frame, WindowDetections

# Threshold, share of it from which a track goes on, whether one sure window is enough.
RULES = [(0.3, 1.0, True), (0.4, 1.0, True), (0.5, 1.0, True), (0.4, 1.0, False), (0.4, 0.5, True), (0.4, 0.5, False),
         (0.3, 0.5, False), (0.35, 0.5, False), (0.45, 0.5, False)]  # fmt: skip
LEAST_SCORE = 0.1


class Replay(NearOnlinePredictor):
    """A predictor whose detections are known already."""

    def remember(self, detections: dict[int, tuple[WindowDetections, tuple[int, int]]]) -> None:
        """Take what a low threshold found, by the window's first frame."""
        self._known = detections

    def detect(self, frames: list[Frame]) -> tuple[WindowDetections, tuple[int, int]]:
        """Those of the known detections that this rule lets in."""
        found, size = self._known[frames[0].index]
        kept = found.class_scores.max(axis=1) >= self.settings.confidence * self.settings.doubt
        first_frame, *columns = found
        return WindowDetections(first_frame, *(column[kept] for column in columns)), size


def main() -> None:
    """Print a line per rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--one-assignment", action="store_true", help="the sure detections do not choose first")
    options = parser.parse_args()
    if options.one_assignment:
        stitch.assign_in_turn = lambda scores, _sure, min_score: assign(scores, min_score)
    segmenter, truth = mssts.load(options.model), load_video_set(options.data, "valid")
    settings = [segmenter.settings(confidence=c, doubt=doubt, keep_brief=brief) for c, doubt, brief in RULES]
    scores = [[] for _ in RULES]
    objects = truth.tracks_by_video()
    for video in truth.videos:
        low = NearOnlinePredictor(segmenter.model, replace(settings[0], confidence=LEAST_SCORE, doubt=1.0))
        frames = list(read_frames(truth, video))
        known = {
            window.frames[0].index: low.detect(window.frames)
            for window in cut_windows(frames, low.settings.window, low.settings.overlap)
        }
        tubes = true_tubes(objects[video.id], video)
        for rows, one in zip(scores, settings, strict=True):
            rows.append(judge(tracks(Replay(segmenter.model, one), known, frames), tubes))
    print("threshold  goes on  sure windows  tracks  objects  precision  recall     F1  agreement")
    for (confidence, doubt, brief), rows in zip(RULES, scores, strict=True):
        right, found, wanted = (sum(row[column] for row in rows) for column in range(3))
        agreement = np.mean([row[3] for row in rows])
        print(
            f"{confidence:9.2f}  {confidence * doubt:7.2f}  {1 if brief else 2:12}  {found:6}  {wanted:7}  "
            f"{share(right, found):>9}  {share(right, wanted):>6}  {share(2 * right, found + wanted):>5}  "
            f"{agreement:9.3f}"
        )


def share(part: int, whole: int) -> str:
    """A quotient with three digits; a dash where there is nothing to divide by, as without any track."""
    return f"{part / whole:.3f}" if whole else "-"


def tracks(predictor: Replay, known: dict, frames: list[Frame]) -> list[np.ndarray]:
    """The tubes that a rule reports, at stride 4."""
    predictor.remember(known)
    tubes: dict[int, np.ndarray] = {}
    for step in predictor.steps(frames):
        for result in step.results:
            for track_id, mask in zip(result.track_ids.tolist(), result.masks, strict=True):
                small = mask[2::4, 2::4]
                tubes.setdefault(track_id, np.zeros((len(frames), *small.shape), dtype=bool))[result.index] = small
    return list(tubes.values())


def true_tubes(objects: list[Track], video: Video) -> list[np.ndarray]:
    """The tubes of the objects, at stride 4."""
    empty = np.zeros((video.height, video.width), dtype=bool)
    return [
        np.stack([decode(code, *empty.shape) if code else empty for code in track.segmentations])[:, 2::4, 2::4]
        for track in objects
    ]


def judge(found: list[np.ndarray], wanted: list[np.ndarray]) -> tuple[int, int, int, float]:
    """Right tracks, tracks, objects, agreement."""
    ious = np.array([[(a & b).sum() / max(1, (a | b).sum()) for b in wanted] for a in found])
    ious = ious.reshape(len(found), len(wanted))
    hits = ious[linear_sum_assignment(-ious)]
    return int((hits >= 0.5).sum()), len(found), len(wanted), float(hits.sum() / max(len(found), len(wanted), 1))


if __name__ == "__main__":
    main()
