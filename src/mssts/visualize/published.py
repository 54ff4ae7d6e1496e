"""The published numbers of the paper's Tables 1 and 2, from the data file that travels with the package."""

from typing import NamedTuple

import msgspec

from mssts.assets import asset_path


class PublishedResult(msgspec.Struct, frozen=True):
    """A row of a table; numbers in percent, None where the table has none."""

    table: str
    data_set: str
    method: str
    venue: str | None
    backbone: str
    type: str | None
    AP: float
    AP50: float | None
    AP75: float | None
    AR1: float | None
    AR10: float | None


class ModelSize(msgspec.Struct, frozen=True):
    """Millions of parameters of a method, and the preset of this package whose parameters were counted."""

    method: str
    backbone: str
    preset: str
    millions: float
    source: str


class Published(msgspec.Struct, frozen=True):
    """The file's content; the notes say where its numbers come from."""

    paper: str
    results_note: str
    parameters_note: str
    parameters: tuple[ModelSize, ...]
    results: tuple[PublishedResult, ...]


class Point(NamedTuple):
    """A model in the chart: its name, one of its numbers in percent, its parameters in millions if they are known."""

    name: str
    value: float
    millions: float | None


def load_published() -> Published:
    """Read the data file."""
    return msgspec.json.decode(asset_path("published_results.json").read_bytes(), type=Published)


def published_points(year: str, metric: str, backbone: str) -> list[Point]:
    """The models of a table that have a number, in the table's order; of a method's rows the best.

    Args:
        year: Of YouTube-VIS: 2019 (Table 1) or 2021 (Table 2).
        metric: "AP", "AP50", "AP75", "AR1" or "AR10".
        backbone: "ResNet-50", "ResNet-101" or "Swin-L".
    """
    published = load_published()
    sizes = {(size.method, size.backbone): size.millions for size in published.parameters}
    points: dict[str, Point] = {}
    for row in published.results:
        value = getattr(row, metric)
        if year not in row.data_set or value is None or row.backbone != backbone:
            continue
        if row.method not in points or points[row.method].value < value:
            points[row.method] = Point(row.method, value, sizes.get((row.method, backbone)))
    return list(points.values())
