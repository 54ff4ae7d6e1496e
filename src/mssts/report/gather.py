"""Chooses what the report shows of an analysis, and brings it into the form of its page."""

import base64
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from mssts.data.video_set import Video, VideoSet
from mssts.evaluate.accumulate import RECALL_POINTS
from mssts.evaluate.analysis import Analysis
from mssts.evaluate.matching import IOU_THRESHOLDS
from mssts.evaluate.results_file import AnyResult, as_result
from mssts.evaluate.video_ap import class_curves
from mssts.report.charts import bar_chart, line_chart
from mssts.report.strips import ShownTrack, film_strip
from mssts.tools.evaluation_tables import percent

NUM_VIDEOS = 5
"""So many of the best and of the worst videos are shown."""


class Chart(NamedTuple):
    """An inline SVG and what stands above it."""

    title: str
    svg: str


class Table(NamedTuple):
    """Rows of text, a remark, and a chart beside them."""

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    svg: str


class ShownVideo(NamedTuple):
    """A film strip as base64 of a JPEG, with a name and a line of numbers."""

    name: str
    summary: str
    jpeg: str


class VideoGroup(NamedTuple):
    """Videos under a title."""

    title: str
    note: str
    videos: Sequence[ShownVideo]


class ReportFacts(NamedTuple):
    """All that the page says."""

    title: str
    sources: Sequence[str]
    numbers: dict[str, float]
    curves: Sequence[Chart]
    tables: Sequence[Table]
    videos: Sequence[VideoGroup]


def gather(truth: VideoSet, results: Sequence[AnyResult], analysis: Analysis, title: str) -> ReportFacts:
    """Make the report of an analysis that has all its parts.

    Raises:
        ValueError: The analysis lacks a part.
        BadInputError: A result's segmentations cannot be decoded.
    """
    num_objects = sum(not track.is_crowd for track in truth.tracks)
    sources = [f"{len(truth.videos)} videos, {num_objects} objects, {len(results)} results."]
    return ReportFacts(
        title, sources, analysis.overall.numbers, _curves(analysis), _tables(truth, analysis),
        _videos(truth, results, analysis),
    )  # fmt: skip


def _curves(analysis: Analysis) -> list[Chart]:
    """Precision over recall, and AP over the IoU that is asked for; means over the classes with ground truth."""
    per_class = [curves.precision[0] for curves in class_curves(analysis.matches).values()]
    defined = [one for one in per_class if not np.isnan(one).any()] or [np.full(per_class[0].shape, np.nan)]
    precision = np.mean(defined, axis=0)
    lines = {"IoU 0.5": precision[0], "IoU 0.75": precision[5], "mean of 0.5 to 0.95": precision.mean(axis=0)}
    by_threshold = {"AP": precision.mean(axis=1)}
    return [
        Chart("Precision over recall", line_chart(RECALL_POINTS, lines, "recall", "precision")),
        Chart("AP over the IoU asked for", line_chart(IOU_THRESHOLDS, by_threshold, "IoU", "AP")),
    ]


def _tables(truth: VideoSet, analysis: Analysis) -> list[Table]:
    attributes, lengths, errors, tracking = analysis.attributes, analysis.lengths, analysis.errors, analysis.tracking
    if attributes is None or lengths is None or errors is None or tracking is None:
        raise ValueError("the report needs all parts of an analysis")
    overall = analysis.overall.numbers
    subsets = {"all": (len(truth.videos), analysis.overall)} | attributes
    return [
        _class_table(truth, analysis),
        Table(
            "Attributes of videos",
            "As in section 4.3 of the paper; a video has an attribute if one of its objects shows it.",
            ("attribute", "videos", "AP", "AP50", "AP75", "AR10"),
            [(name, str(count), *_cells(one.numbers)) for name, (count, one) in subsets.items()],
            bar_chart({name: one.numbers["AP"] for name, (_, one) in subsets.items()}, "AP"),
        ),
        Table(
            "Length of tracks",
            "By the frames in which an object is visible; objects of other lengths are ignored.",
            ("length", "tracks", "AP", "AR100"),
            [(name, str(one.num_tracks), percent(one.ap), percent(one.ar100)) for name, one in lengths.items()],
            bar_chart({"all": overall["AP"]} | {name: one.ap for name, one in lengths.items()}, "AP"),
        ),
        Table(
            "Errors at IoU 0.5",
            f"What AP50 ({percent(errors.ap50)}) would gain if this kind alone were mended. Gains do not add up.",
            ("kind", "number", "AP50 gained"),
            [(kind.value, str(count), percent(max(0.0, errors.gains[kind]))) for kind, count in errors.counts.items()],
            bar_chart({kind.value: gain for kind, gain in errors.gains.items()}, "AP50 gained", signed=True),
        ),
        Table(
            "Tracking",
            f"Every result with a score of {tracking.min_score:g} or more is a track: {tracking.num_tracks} are. "
            "Flicker: how far the change of masks from frame to frame is from the truth's; low is good.",
            ("measure", "%"),
            [(name, percent(value)) for name, value in tracking.numbers().items()],
            bar_chart(tracking.numbers(), "share"),
        ),
    ]


def _class_table(truth: VideoSet, analysis: Analysis) -> Table:
    """Numbers by class, best first."""
    counts = Counter(track.category_id for track in truth.tracks if not track.is_crowd)
    names = dict(truth.categories)
    defined = [(id_, one) for id_, one in analysis.overall.per_category.items() if one["AP"] >= 0]
    defined.sort(key=lambda item: -item[1]["AP"])
    return Table(
        "Classes",
        f"{len(defined)} of the set's {len(names)} classes have objects.",
        ("class", "objects", "AP", "AP50", "AP75", "AR10"),
        [(names[id_], str(counts[id_]), *_cells(one)) for id_, one in defined],
        bar_chart({names[id_]: one["AP"] for id_, one in defined}, "AP"),
    )


def _cells(numbers: dict[str, float]) -> list[str]:
    return [percent(numbers[name]) for name in ("AP", "AP50", "AP75", "AR10")]


def _videos(truth: VideoSet, results: Sequence[AnyResult], analysis: Analysis) -> list[VideoGroup]:
    """The videos with the highest and the lowest HOTA, those without objects left out."""
    assert analysis.tracking is not None
    hota = {id_: numbers["HOTA"] for id_, numbers in analysis.tracking.hota.per_video.items()}
    order = sorted((id_ for id_, value in hota.items() if value >= 0), key=lambda id_: hota[id_])
    num_shown = min(NUM_VIDEOS, (len(order) + 1) // 2)
    worst, best = order[:num_shown], order[num_shown:][::-1][:num_shown]
    note = (
        f"Above the truth, below the results with a score of {analysis.tracking.min_score:g} or more; an object has "
        "the same colour in both rows. Ordered by the video's HOTA."
    )
    shown = _Shown(truth, results, analysis)
    groups = [("Videos that went worst", worst), ("Videos that went best", best)]
    return [VideoGroup(title, note, [shown.video(id_) for id_ in ids]) for title, ids in groups if ids]


class _Shown:
    """Looks up what is shown of a video."""

    def __init__(self, truth: VideoSet, results: Sequence[AnyResult], analysis: Analysis) -> None:
        assert analysis.tracking is not None
        self.truth, self.analysis = truth, analysis
        self.videos = {video.id: video for video in truth.videos}
        self.tracks = truth.tracks_by_video()
        self.results: dict[int, list[AnyResult]] = defaultdict(list)
        for result in results:
            if result.score >= analysis.tracking.min_score:
                self.results[result.video_id].append(result)

    def video(self, video_id: int) -> ShownVideo:
        """A video's strip."""
        video = self.videos[video_id]
        true = [
            ShownTrack(track.category_id, 1.0, track.segmentations)
            for track in self.tracks[video_id]
            if not track.is_crowd
        ]
        found = [
            ShownTrack(one.category_id, float(one.score), as_result(one, "results").segmentations)
            for one in self.results[video_id]
        ]
        strip = base64.b64encode(film_strip(self.truth, video, true, found)).decode("ascii")
        return ShownVideo(video_name(video), self._summary(video_id, len(true), len(found)), strip)

    def _summary(self, video_id: int, num_true: int, num_found: int) -> str:
        errors, tracking = self.analysis.errors, self.analysis.tracking
        assert errors is not None
        assert tracking is not None
        hota, jf = tracking.hota.per_video[video_id], tracking.region_boundary.per_video[video_id]
        kinds = Counter(error.kind.value for error in errors.by_video.get(video_id, ()))
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "no errors"
        numbers = f"HOTA {percent(hota['HOTA'])}, J&F {percent(jf['J&F'])}"
        return f"{numbers}; {num_true} objects, {num_found} tracks found. Of all results: {told}."


def video_name(video: Video) -> str:
    """What users call a video: the folder of its frames, or its id."""
    folder = str(PurePosixPath(video.file_names[0]).parent)
    return str(video.id) if folder == "." else folder
