"""Writes the report: one HTML file that holds all it shows and asks for nothing from elsewhere."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from mssts.atomic_file import write_atomically
from mssts.data.video_set import VideoSet
from mssts.errors import ResourceError
from mssts.evaluate.analysis import Analysis
from mssts.evaluate.results_file import AnyResult
from mssts.report.gather import ReportFacts, gather
from mssts.tools.evaluation_tables import percent

FILE_NAME = "report.html"


def write_report(truth: VideoSet, results: Sequence[AnyResult], analysis: Analysis, folder: Path, title: str) -> Path:
    """Write `report.html` into a folder, in place of an older one, and tell its path.

    Args:
        truth: The set, with pictures if strips are to show them.
        results: What was analysed.
        analysis: With all its parts.
        folder: Is made if it is not there.
        title: Stands above everything.

    Raises:
        ResourceError: The folder or file cannot be written.
    """
    page = render(gather(truth, results, analysis, title))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot make the folder ({error.strerror})") from error
    path = folder / FILE_NAME
    write_atomically(path, page)
    return path


def render(facts: ReportFacts) -> str:
    """The page; names of videos and classes are escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = percent
    template = files("mssts.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(facts=facts)
