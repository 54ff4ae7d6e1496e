"""Everything that this project measures of results, in one place: what tables, files and the report are made of."""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from mssts.data.video_set import VideoSet
from mssts.evaluate.attribute_subsets import attribute_subsets
from mssts.evaluate.errors import ErrorReport, find_errors
from mssts.evaluate.hota import Hota, evaluate_hota
from mssts.evaluate.region_boundary import RegionBoundary, evaluate_region_boundary
from mssts.evaluate.results_file import AnyResult
from mssts.evaluate.scored_tracks import DEFAULT_MIN_SCORE
from mssts.evaluate.temporal_stability import TemporalStability, evaluate_temporal_stability
from mssts.evaluate.track_lengths import LengthAp, length_ap
from mssts.evaluate.video_ap import MatchesByClass, VideoAp, match_results, video_ap

Part = Literal["attributes", "lengths", "errors", "tracking"]
PARTS: tuple[Part, ...] = ("attributes", "lengths", "errors", "tracking")


class Tracking(NamedTuple):
    """Measures of tracks that know no scores: results from `min_score` on are tracks, `num_tracks` of them."""

    min_score: float
    num_tracks: int
    hota: Hota
    region_boundary: RegionBoundary
    stability: TemporalStability

    def numbers(self) -> dict[str, float]:
        """The main numbers by name, shares 0..1; -1 if undefined. Flicker is good when low, the others when high."""
        return self.hota.class_averaged | self.region_boundary.numbers | {"flicker": self.stability.numbers["flicker"]}


class Analysis(NamedTuple):
    """Video AP, and the parts that were asked for; attributes hold the number of videos beside their AP."""

    matches: MatchesByClass
    overall: VideoAp
    attributes: dict[str, tuple[int, VideoAp]] | None = None
    lengths: dict[str, LengthAp] | None = None
    errors: ErrorReport | None = None
    tracking: Tracking | None = None


def analyse(
    truth: VideoSet,
    results: Sequence[AnyResult],
    parts: Collection[Part] = (),
    name: str = "results",
    progress: bool = False,
    min_score: float = DEFAULT_MIN_SCORE,
) -> Analysis:
    """Evaluate results.

    Args:
        truth: The set with its ground truth.
        results: What was found.
        parts: What to measure besides video AP.
        name: What errors call the results.
        progress: Show progress bars.
        min_score: Results below this score are no tracks for the measures of tracking.

    Raises:
        BadInputError: A result does not belong to the set, or a segmentation is not safe to decode.
    """
    matches = match_results(truth, results, name, progress)
    analysis = Analysis(matches, video_ap(matches))
    if "attributes" in parts:
        subsets = {key: (len(ids), video_ap(matches, ids)) for key, ids in attribute_subsets(truth).items()}
        analysis = analysis._replace(attributes=subsets)
    if "lengths" in parts:
        analysis = analysis._replace(lengths=length_ap(truth, results, name))
    if "errors" in parts:
        analysis = analysis._replace(errors=find_errors(truth, results))
    if "tracking" in parts:
        tracking = Tracking(
            min_score,
            sum(result.score >= min_score for result in results),
            evaluate_hota(truth, results, min_score, name, progress),
            evaluate_region_boundary(truth, results, min_score, name, progress),
            evaluate_temporal_stability(truth, results, min_score, name, progress),
        )
        analysis = analysis._replace(tracking=tracking)
    return analysis
