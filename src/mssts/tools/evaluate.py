"""The verb `evaluate`: the official numbers of a results file, or of a model on a data set."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence

from mssts.atomic_file import write_atomically
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError, UsageError
from mssts.evaluate.attribute_subsets import attribute_subsets
from mssts.evaluate.results_file import Result, StoredResult, open_results, save_results
from mssts.evaluate.video_ap import VideoAp, match_results, video_ap

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the files that were asked for.

    Raises:
        UsageError: The options name neither a results file with its truth nor a model with a data set.
        BadInputError: The set, the results or the model's frames cannot be used.
    """
    truth, results = _from_files(options) if options.results else _from_model(options)
    name = str(options.results or "results")
    matches = match_results(truth, results, name, progress=not options.quiet)
    overall = video_ap(matches)
    subsets = {}
    if options.attributes:
        subsets = {name: (len(ids), video_ap(matches, ids)) for name, ids in attribute_subsets(truth).items()}
    # Files first: whoever reads the table may close the pipe early.
    if options.json:
        write_atomically(options.json, json.dumps(_facts(truth, overall, subsets), indent=1) + "\n")
    if options.csv:
        write_atomically(options.csv, _as_csv(truth, overall, subsets))
    print(_table(truth, overall, subsets))
    return 0


def _from_files(options: argparse.Namespace) -> tuple[VideoSet, list[StoredResult]]:
    """The ground truth and results that the options name; needs no torch."""
    if options.gt is None or options.model is not None or options.data is not None:
        raise UsageError("evaluate: --results goes with --gt, --model with --data")
    if not options.gt.is_file():
        raise BadInputError(f"{options.gt}: no such file")
    truth = _with_truth(load_video_set(options.gt))
    results = open_results(options.results, truth)
    if not results:
        print(f"{options.results}: holds no results, so everything counts as missed", file=sys.stderr)
    return truth, results


def _from_model(options: argparse.Namespace) -> tuple[VideoSet, list[Result]]:
    """The results of a model on a data set."""
    if options.model is None or options.data is None or options.gt is not None:
        raise UsageError("evaluate: give --gt and --results, or --data and --model")
    truth = _with_truth(load_video_set(options.data, options.split))
    from mssts.api import find_checkpoint, pick_device
    from mssts.checkpoint import load_model
    from mssts.evaluate.run_model import evaluate_model
    from mssts.tools.allocator import keep_freed_memory

    keep_freed_memory()
    results = evaluate_model(
        load_model(find_checkpoint(options.model)),
        truth,
        device=pick_device(options.device),
        mode=options.mode,
        window=options.window,
        short_side=options.short_side,
        progress=not options.quiet,
    )
    if options.save_results:
        save_results(results, options.save_results)
    return truth, results


def _with_truth(truth: VideoSet) -> VideoSet:
    """The set itself.

    Raises:
        BadInputError: It has no ground truth.
    """
    if not truth.has_truth:
        raise BadInputError(f"{truth.path}: has no ground truth, as the sets of evaluation servers have none")
    return truth


def _table(truth: VideoSet, overall: VideoAp, subsets: dict[str, tuple[int, VideoAp]]) -> str:
    """All numbers in percent: the twelve, those by category, those by attribute."""
    lines = ["  ".join(f"{name} {_percent(value)}" for name, value in overall.numbers.items()), ""]
    names = dict(truth.categories)
    rows = [(names[id_], numbers) for id_, numbers in overall.per_category.items() if numbers["AP"] >= 0]
    width = max(len(name) for name in ("aspect_change", *names.values()))
    header = "".join(f"{column:>8}" for column in COLUMNS)
    lines.append(f"{'category':<{width}}{header}")
    lines += [f"{name:<{width}}{_row(numbers)}" for name, numbers in rows]
    if subsets:
        lines += ["", f"{'attribute':<{width}}{'videos':>8}{header}"]
        lines.append(f"{'all':<{width}}{len(truth.videos):>8}{_row(overall.numbers)}")
        lines += [f"{name:<{width}}{count:>8}{_row(subset.numbers)}" for name, (count, subset) in subsets.items()]
    return "\n".join(lines)


def _row(numbers: dict[str, float]) -> str:
    return "".join(f"{_percent(numbers[column]):>8}" for column in COLUMNS)


def _percent(value: float) -> str:
    return "-" if value < 0 else f"{100 * value:.1f}"


def _facts(truth: VideoSet, overall: VideoAp, subsets: dict[str, tuple[int, VideoAp]]) -> dict[str, object]:
    """The numbers as shares 0..1 under their official names."""
    names = _distinct_names(truth)
    facts: dict[str, object] = dict(overall.numbers)
    facts["per_category"] = {names[id_]: numbers for id_, numbers in overall.per_category.items()}
    if subsets:
        facts["per_attribute"] = {name: {"videos": count} | one.numbers for name, (count, one) in subsets.items()}
    return facts


def _distinct_names(truth: VideoSet) -> dict[int, str]:
    """The categories' names by id; where two share a name, their ids stand beside it."""
    names = [name for _, name in truth.categories]
    return {id_: name if names.count(name) == 1 else f"{name} ({id_})" for id_, name in truth.categories}


def _as_csv(truth: VideoSet, overall: VideoAp, subsets: dict[str, tuple[int, VideoAp]]) -> str:
    """One line per group of videos or category."""
    names = dict(truth.categories)
    rows: Sequence[tuple[str, str, dict[str, float]]] = [
        ("all", "", overall.numbers),
        *(("category", names[id_], numbers) for id_, numbers in overall.per_category.items()),
        *(("attribute", name, subset.numbers) for name, (_, subset) in subsets.items()),
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "name", *overall.numbers])
    writer.writerows([kind, name, *numbers.values()] for kind, name, numbers in rows)
    return text.getvalue()
