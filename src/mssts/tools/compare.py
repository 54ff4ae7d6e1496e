"""The verb `compare`: how two results of the same videos differ, and whether that could be chance."""

import argparse
import json
import math
from pathlib import PurePosixPath

from mssts.atomic_file import refuse_overwriting, write_atomically
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError
from mssts.evaluate.compare import MIN_VIDEOS, Comparison, Difference, compare_results
from mssts.evaluate.results_file import open_nonempty_results

NUM_VIDEOS_SHOWN = 10


def run_compare(options: argparse.Namespace) -> int:
    """Compare, print the tables, and write the file that was asked for.

    Raises:
        BadInputError: The ground truth or one of the results cannot be used.
    """
    if options.gt.is_dir() or not options.gt.exists():
        raise BadInputError(f"{options.gt}: no such file")
    truth = load_video_set(options.gt)
    if not truth.has_truth:
        raise BadInputError(f"{options.gt}: has no ground truth")
    refuse_overwriting([options.json], [truth.path, options.first, options.second])
    results = open_nonempty_results(options.first, truth), open_nonempty_results(options.second, truth)
    files = str(options.first), str(options.second)
    comparison = compare_results(truth, *results, num_resamples=options.resamples, seed=options.seed, names=files)
    names = _video_names(truth)
    # The file first: whoever reads the table may close the pipe early.
    if options.json:
        write_atomically(options.json, json.dumps(_facts(options, comparison, names), indent=1) + "\n")
    print(f"A  {options.first}\nB  {options.second}\n\n{_table(comparison, names, len(truth.videos))}")
    return 0


def _video_names(truth: VideoSet) -> dict[int, str]:
    """What users call a video: the folder of its frames."""
    folders = {video.id: str(PurePosixPath(video.file_names[0]).parent) for video in truth.videos}
    return {id_: str(id_) if folder == "." else folder for id_, folder in folders.items()}


def _table(comparison: Comparison, names: dict[int, str], num_videos: int) -> str:
    """All numbers in percent, and the videos that changed most."""
    lines = [f"{'':<8}{'A':>8}{'B':>8}{'B - A':>8}   95 % interval"]
    lines += [_row(name, difference) for name, difference in comparison.numbers.items()]
    if num_videos < MIN_VIDEOS:
        lines.append(f"no intervals: {num_videos} videos are too few to tell chance from change ({MIN_VIDEOS} needed)")
    if any(one.is_clear for one in comparison.numbers.values()):
        lines.append("* the interval leaves out 0")
    if not comparison.videos:
        return "\n".join([*lines, "", "no video changed AP"])
    shown = comparison.videos[:NUM_VIDEOS_SHOWN]
    width = max(len("video"), *(len(names[video.video_id]) for video in shown))
    lines += ["", f"{len(comparison.videos)} videos changed AP; most of all, with what each alone adds to B - A:"]
    lines.append(f"{'video':<{width}}{'adds':>8}{'own AP: A':>12}{'B':>8}")
    for video in shown:
        own = f"{_percent(video.first):>12}{_percent(video.second):>8}"
        lines.append(f"{names[video.video_id]:<{width}}{100 * video.change:>+8.2f}{own}")
    return "\n".join(lines)


def _row(name: str, difference: Difference) -> str:
    values = f"{name:<8}{_percent(difference.first):>8}{_percent(difference.second):>8}"
    if math.isnan(difference.difference):
        return f"{values}{'-':>8}"
    if math.isnan(difference.low):
        return f"{values}{100 * difference.difference:>+8.1f}   -"
    interval = f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
    return f"{values}{100 * difference.difference:>+8.1f}   {interval}{' *' if difference.is_clear else ''}"


def _percent(value: float) -> str:
    return "-" if value < 0 else f"{100 * value:.1f}"


def _facts(options: argparse.Namespace, comparison: Comparison, names: dict[int, str]) -> dict[str, object]:
    """The numbers as shares 0..1 under their official names; null where a difference is undefined."""
    numbers = {
        name: {key: None if math.isnan(value) else value for key, value in difference._asdict().items()}
        for name, difference in comparison.numbers.items()
    }
    videos = [{"name": names[video.video_id], **video._asdict()} for video in comparison.videos]
    return {
        "first": str(options.first),
        "second": str(options.second),
        "gt": str(options.gt),
        "resamples": options.resamples,
        "seed": options.seed,
        "numbers": numbers,
        "videos": videos,
    }
