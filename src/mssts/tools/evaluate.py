"""The verb `evaluate`: the official numbers of a results file, or of a model on a data set."""

import argparse
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from mssts.atomic_file import refuse_overwriting, write_atomically
from mssts.data.video_set import VideoSet, load_video_set
from mssts.errors import BadInputError, ResourceError, UsageError
from mssts.evaluate.analysis import PARTS, Part, analyse
from mssts.evaluate.results_file import Result, StoredResult, open_nonempty_results, save_results
from mssts.evaluate.scored_tracks import DEFAULT_MIN_SCORE
from mssts.locate import find_checkpoint
from mssts.tools.evaluation_tables import as_csv, as_facts, as_text


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the files that were asked for.

    Raises:
        UsageError: The options name neither a results file with its truth nor a model with a data set.
        BadInputError: The set, the results or the model's frames cannot be used.
    """
    _check_options(options)
    truth, results = _from_files(options) if options.results else _from_model(options)
    parts: list[Part] = [part for part in PARTS if options.report or getattr(options, part)]
    name = str(options.results or "results")
    min_score = DEFAULT_MIN_SCORE if options.min_score is None else options.min_score
    analysis = analyse(truth, results, parts, name, progress=not options.quiet, min_score=min_score)
    # Files first: whoever reads the table may close the pipe early.
    if options.json:
        write_atomically(options.json, json.dumps(as_facts(truth, analysis), indent=1) + "\n")
    if options.csv:
        write_atomically(options.csv, as_csv(truth, analysis))
    if options.report:
        title = f"{options.results or options.model} on {truth.path}"
        from mssts.report.page import write_report

        print(f"report: {write_report(truth, results, analysis, options.report, title)}", file=sys.stderr)
    print(as_text(truth, analysis))
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what would have no effect, and what would fail only when the work is done.

    Raises:
        UsageError: An option needs another one that is not there.
        BadInputError, ResourceError: There can be no report.
    """
    for_models = {
        "--save-results": options.save_results,
        "--window": options.window,
        "--short-side": options.short_side,
        "--precision": options.precision,
        "--compile": options.compile or None,
    }
    idle = [name for name, value in for_models.items() if value is not None and options.results]
    if idle:
        raise UsageError(f"evaluate: {idle[0]} goes with --model, not with --results")
    if options.min_score is not None and not (options.tracking or options.report):
        raise UsageError("evaluate: --min-score goes with --tracking or --report")
    if options.report:
        _check_report(options.report)


def _check_report(folder: Path) -> None:
    """Tell what the report will fail on before the work is done.

    Raises:
        BadInputError: The libraries of the report are not installed.
        ResourceError: The folder cannot be made or written.
    """
    for library in ("jinja2", "matplotlib"):
        if find_spec(library) is None:
            raise BadInputError(f"the report needs {library}: pip install -e '.[train,viz]' in the project's folder")
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise ResourceError(f"{nearest}: is a file, so the report's folder cannot be there")
    if not os.access(nearest, os.W_OK):
        raise ResourceError(f"{nearest}: may not be written")


def _outputs(options: argparse.Namespace) -> list[Path | None]:
    return [options.json, options.csv, options.save_results]


def _from_files(options: argparse.Namespace) -> tuple[VideoSet, list[StoredResult]]:
    """The ground truth and results that the options name; needs no torch."""
    if options.gt is None or options.model is not None or options.data is not None:
        raise UsageError("evaluate: --results goes with --gt, --model with --data")
    if options.gt.is_dir() or not options.gt.exists():
        raise BadInputError(f"{options.gt}: no such file")
    truth = _with_truth(load_video_set(options.gt))
    refuse_overwriting(_outputs(options), [truth.path, options.results])
    return truth, open_nonempty_results(options.results, truth)


def _from_model(options: argparse.Namespace) -> tuple[VideoSet, list[Result]]:
    """The results of a model on a data set."""
    if options.model is None or options.data is None or options.gt is not None:
        raise UsageError("evaluate: give --gt and --results, or --data and --model")
    path = find_checkpoint(options.model)
    truth = _with_truth(load_video_set(options.data, options.split))
    refuse_overwriting(_outputs(options), [truth.path, path])
    from mssts.api import load
    from mssts.evaluate.run_model import NEAR_ONLINE_CONFIDENCE, evaluate_model
    from mssts.tools.allocator import keep_freed_memory

    keep_freed_memory()
    model = load(path, options.device, options.compile).model
    results = evaluate_model(
        model,
        truth,
        device=next(model.parameters()).device,
        mode=options.mode,
        window=options.window,
        short_side=options.short_side,
        precision=options.precision or "fp32",
        progress=not options.quiet,
    )
    if not results and not options.quiet:
        least = f" with a score of {NEAR_ONLINE_CONFIDENCE} or more" if options.mode == "near-online" else ""
        print(f"{options.model}: found nothing{least}; AP is 0 until a training has got that far", file=sys.stderr)
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
