"""The published numbers against what the paper's sentences say of them, and the chart of them."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssts.config import preset
from mssts.model.vis import VisModel
from mssts.visualize.ap_chart import draw_ap_chart, spread_heights
from mssts.visualize.published import Point, load_published, published_points

OURS, BEST_OTHER = "MS-STS VIS", "SeqFormer"


def numbers_of(year: str, metric: str, backbone: str = "ResNet-50") -> dict[str, float]:
    return {point.name: point.value for point in published_points(year, metric, backbone)}


@pytest.mark.parametrize(
    ("year", "metric", "backbone", "gain"),
    [
        ("2019", "AP", "ResNet-50", 2.7),
        ("2019", "AP75", "ResNet-50", 4.8),
        ("2019", "AP", "Swin-L", 1.7),
        ("2021", "AP75", "ResNet-50", 2.8),
    ],
)
def test_gains_are_those_that_the_text_states(year, metric, backbone, gain):
    numbers = numbers_of(year, metric, backbone)
    assert numbers[OURS] - numbers[BEST_OTHER] == pytest.approx(gain)
    assert max(numbers, key=lambda name: numbers[name]) == OURS


def test_single_numbers_of_the_text():
    assert {name: numbers_of("2019", "AP")[name] for name in ("PCAN", "CrossVIS", "VisTR", OURS)} == {
        "PCAN": 36.1,
        "CrossVIS": 36.3,
        "VisTR": 35.6,
        OURS: 50.1,
    }
    assert numbers_of("2019", "AP", "ResNet-101")[OURS] == 51.1
    assert numbers_of("2019", "AP", "Swin-L")[OURS] == 61.0
    in_2021 = numbers_of("2021", "AP")
    assert [in_2021[name] for name in ("CrossVIS", "IFC", "SeqFormer", OURS)] == [34.2, 36.6, 40.5, 42.2]


def test_rows_make_sense():
    published = load_published()
    assert [row.table for row in published.results] == 27 * ["Table 1"] + 7 * ["Table 2"]
    for row in published.results:
        assert row.AP50 is None or row.AP50 > row.AP
        assert row.AR1 is None or (row.AR10 is not None and row.AR10 > row.AR1)
        assert row.AP50 is None or row.AP75 is None or row.AP75 < row.AP50
    assert numbers_of("2019", "AP")["SipMask-VIS"] == 33.7, "of two rows the better"


@pytest.mark.parametrize("backbone", ["ResNet-50", "ResNet-101"])
def test_parameters_are_those_of_our_models(backbone):
    for size in load_published().parameters:
        if size.backbone == backbone:
            counted = sum(parameter.numel() for parameter in VisModel(preset(size.preset)).parameters())
            assert size.millions == pytest.approx(counted / 1e6, abs=0.06)


@given(st.lists(st.floats(0, 1, allow_nan=False), max_size=15))
def test_names_keep_apart_and_in_order(wanted):
    heights = spread_heights(wanted, 0.05)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    ordered = [heights[index] for index in order]
    assert all(above - below > 0.05 - 1e-9 for below, above in pairwise(ordered))
    assert sum(heights) == pytest.approx(sum(wanted), abs=1e-6), "nothing moves as a whole"
    if all(wanted[b] - wanted[a] > 0.051 for a, b in pairwise(order)):
        assert heights == pytest.approx(wanted)


def test_chart_names_every_model_once():
    pytest.importorskip("matplotlib")
    points = published_points("2019", "AP", "ResNet-50")
    svg = draw_ap_chart(points, [Point("mine", 43.21, 12.0)], "AP", "a title", "svg").decode()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert [text for text in texts if text.startswith("mine")] == ["mine  43.2"]
    for point in points:
        assert f"{point.name}  {point.value:.1f}" in texts
    assert svg.encode() == draw_ap_chart(points, [Point("mine", 43.21, 12.0)], "AP", "a title", "svg")
