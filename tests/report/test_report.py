"""The report: everything it says is in the analysis, everything it shows is in the file."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_report import NUM_VIDEOS, TITLE, SmallReport, make_report

from mssts.report.charts import bar_chart, line_chart
from mssts.report.strips import FRAME_WIDTH, GAP, NUM_FRAMES, ShownTrack, film_strip, matching_ids
from mssts.visualize.palette import track_color


class Page(HTMLParser):
    """The page as a reader of HTML sees it, without the charts' own text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.cells: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._tag in ("td", "b") and data.strip():
            self.cells.append(data.strip())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> SmallReport:
    return make_report(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def page(report: SmallReport) -> Page:
    return Page(report.path.read_text(encoding="utf-8"))


def test_nothing_is_asked_for_from_elsewhere(report: SmallReport, page: Page) -> None:
    loading = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset", "action")]
    assert loading
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in loading)
    text = report.path.read_text(encoding="utf-8")
    assert "url(http" not in text
    assert "@import" not in text
    assert not [value for tag, *_, value in page.attributes if tag in ("script", "iframe", "link", "object")]


def test_every_number_of_the_analysis_is_told(report: SmallReport, page: Page) -> None:
    analysis = report.analysis
    assert analysis.tracking is not None
    assert analysis.errors is not None
    told = set(page.cells)
    for value in [*analysis.overall.numbers.values(), *analysis.tracking.numbers().values()]:
        assert ("-" if value < 0 else f"{100 * value:.1f}") in told
    assert {str(count) for count in analysis.errors.counts.values()} <= told


def test_names_are_text_and_not_markup(report: SmallReport, page: Page) -> None:
    assert TITLE in page.text
    names = {name for id_, name in report.truth.categories if report.analysis.overall.per_category[id_]["AP"] >= 0}
    assert names
    assert all(name.startswith("<i>") for name in names)
    assert names <= set(page.cells)


def test_each_strip_is_a_picture_of_a_video(report: SmallReport, page: Page) -> None:
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(pictures) == NUM_VIDEOS
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
        assert image.width == NUM_FRAMES * FRAME_WIDTH + (NUM_FRAMES - 1) * GAP
        assert image.height == 2 * round(FRAME_WIDTH * 64 / 96) + GAP


def test_equal_input_gives_equal_bytes(report: SmallReport, tmp_path: Path) -> None:
    assert make_report(tmp_path).path.read_bytes() == report.path.read_bytes()


def test_without_pictures_masks_are_drawn_on_gray(report: SmallReport, tmp_path: Path) -> None:
    other = make_report(tmp_path, with_pictures=False)
    assert other.path.read_bytes() != report.path.read_bytes()
    video = other.truth.videos[0]
    strip = np.array(Image.open(io.BytesIO(film_strip(other.truth, video, [], []))).convert("L"))
    gap = np.abs(strip.astype(int) - 96) > 12
    assert gap.mean() < 0.05  # white gaps between gray frames


def test_an_object_has_one_colour_in_both_rows(report: SmallReport) -> None:
    truth, video = report.truth, report.truth.videos[0]
    true = [ShownTrack(t.category_id, 1.0, t.segmentations) for t in truth.tracks if t.video_id == video.id]
    found = true[::-1]
    assert matching_ids(video, true, found) == list(range(len(true), 0, -1))
    stray = ShownTrack(true[0].category_id, 0.5, [None] * len(video.file_names))
    assert matching_ids(video, true[:1], [stray, true[0]]) == [2, 1]
    strip = np.array(Image.open(io.BytesIO(film_strip(truth, video, true[:1], true[:1]))).convert("RGB")).astype(int)
    upper, lower = strip[: (len(strip) - GAP) // 2], strip[(len(strip) + GAP) // 2 :]
    assert np.abs(upper - lower).mean() < 3
    near = np.abs(upper - np.array(track_color(1))).max(axis=2) < 40
    assert near.any()


@pytest.mark.parametrize("signed", [False, True])
def test_bars_are_as_long_as_their_values(signed: bool) -> None:
    chart = bar_chart({"one": 0.25, "two": 0.5, "none": -1.0}, "AP", signed)
    assert chart.count("<svg") == 1
    assert ">25.0<" in chart
    assert ">50.0<" in chart
    assert (">-100.0<" in chart or ">−100.0<" in chart) == signed


def test_curves_have_a_line_each() -> None:
    x = np.linspace(0.0, 1.0, 5)
    chart = line_chart(x, {"a": x, "b": 1 - x}, "recall", "precision")
    assert ">recall (%)<" in chart
    assert chart.count("stroke: #0072b2") >= 1
    assert chart.count("stroke: #d55e00") >= 1
