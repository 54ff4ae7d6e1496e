"""An analysis of results as text for people, and as the facts of a JSON and a CSV file."""

import csv
import io
from collections.abc import Iterable, Sequence

from mssts.data.video_set import VideoSet
from mssts.evaluate.analysis import Analysis

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")
NO_TRACKS = "No result has a score of {:g} or more, so nothing was tracked; --min-score lowers the bar."


def as_text(truth: VideoSet, analysis: Analysis) -> str:
    """All numbers in percent: the twelve, those by category, and the parts that were asked for."""
    names, overall = dict(truth.categories), analysis.overall
    tables = [_table("category", COLUMNS, [(names[id_], _cells(one)) for id_, one in _defined(analysis)])]
    if analysis.attributes is not None:
        rows = [("all", [str(len(truth.videos)), *_cells(overall.numbers)])]
        rows += [(name, [str(count), *_cells(one.numbers)]) for name, (count, one) in analysis.attributes.items()]
        tables.append(_table("attribute", ("videos", *COLUMNS), rows))
    if analysis.lengths is not None:
        rows = [(key, [str(one.num_tracks), *_percents((one.ap, one.ar100))]) for key, one in analysis.lengths.items()]
        tables.append(_table("track length", ("tracks", "AP", "AR100"), rows))
    if analysis.errors is not None:
        errors = analysis.errors
        rows = [(kind.value, [str(count), *_percents([errors.gains[kind]])]) for kind, count in errors.counts.items()]
        tables.append(_table("error", ("number", "AP50 +"), rows))
    if analysis.tracking is not None:
        rows = [(name, _percents([value])) for name, value in analysis.tracking.numbers().items()]
        tables.append(_table(f"tracking (score >= {analysis.tracking.min_score:g})", ("all",), rows))
        if not analysis.tracking.num_tracks:
            tables.append(NO_TRACKS.format(analysis.tracking.min_score))
    twelve = "  ".join(f"{name} {percent(value)}" for name, value in overall.numbers.items())
    return "\n\n".join([twelve, *tables])


def percent(value: float) -> str:
    """A share of 1 as a number in percent; a dash if it is undefined."""
    return "-" if value < 0 else f"{100 * value:.1f}"


def _percents(values: Iterable[float]) -> list[str]:
    return [percent(value) for value in values]


def _cells(numbers: dict[str, float]) -> list[str]:
    return _percents(numbers[column] for column in COLUMNS)


def _defined(analysis: Analysis) -> list[tuple[int, dict[str, float]]]:
    """The categories with ground truth."""
    return [(id_, numbers) for id_, numbers in analysis.overall.per_category.items() if numbers["AP"] >= 0]


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Names on the left, numbers below their columns."""
    width = max(len(name) for name in (title, *(name for name, _ in rows)))
    lines = [(title, columns), *rows]
    return "\n".join(f"{name:<{width}}" + "".join(f"{cell:>8}" for cell in cells) for name, cells in lines)


def as_facts(truth: VideoSet, analysis: Analysis) -> dict[str, object]:
    """The numbers as shares 0..1, the twelve under their official names."""
    names, overall = _distinct_names(truth), analysis.overall
    facts: dict[str, object] = dict(overall.numbers)
    facts["per_category"] = {names[id_]: numbers for id_, numbers in overall.per_category.items()}
    if analysis.attributes is not None:
        subsets = analysis.attributes
        facts["per_attribute"] = {name: {"videos": count} | one.numbers for name, (count, one) in subsets.items()}
    if analysis.lengths is not None:
        facts["per_track_length"] = {
            name: {"tracks": one.num_tracks, "AP": one.ap, "AR100": one.ar100} for name, one in analysis.lengths.items()
        }
    if analysis.errors is not None:
        errors = analysis.errors
        facts["errors"] = {
            kind.value: {"number": count, "AP50_gain": errors.gains[kind]} for kind, count in errors.counts.items()
        }
    if analysis.tracking is not None:
        tracking = analysis.tracking
        about = {"min_score": tracking.min_score, "tracks": tracking.num_tracks}
        facts["tracking"] = about | tracking.numbers()
    return facts


def _distinct_names(truth: VideoSet) -> dict[int, str]:
    """The categories' names by id; where two share a name, their ids stand beside it."""
    names = [name for _, name in truth.categories]
    return {id_: name if names.count(name) == 1 else f"{name} ({id_})" for id_, name in truth.categories}


def as_csv(truth: VideoSet, analysis: Analysis) -> str:
    """One line per group of videos, of tracks or category: its kind, its name, and the numbers that it has."""
    names, overall = dict(truth.categories), analysis.overall
    rows: list[tuple[str, str, dict[str, float]]] = [("all", "", overall.numbers)]
    rows += [("category", names[id_], numbers) for id_, numbers in overall.per_category.items()]
    rows += [("attribute", name, one.numbers) for name, (_, one) in (analysis.attributes or {}).items()]
    rows += [("length", name, {"AP": one.ap, "AR100": one.ar100}) for name, one in (analysis.lengths or {}).items()]
    if analysis.errors is not None:
        rows += [("error", kind.value, {"AP50": gain}) for kind, gain in analysis.errors.gains.items()]
    columns = list(overall.numbers)
    if analysis.tracking is not None:
        rows.append(("tracking", "", analysis.tracking.numbers()))
        columns += analysis.tracking.numbers()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "name", *columns])
    writer.writerows([kind, name, *(numbers.get(column, "") for column in columns)] for kind, name, numbers in rows)
    return text.getvalue()
