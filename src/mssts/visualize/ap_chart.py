"""AP against parameters, as in the paper's Fig. 1 (right); needs matplotlib (the extra `viz`)."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mssts.visualize.published import Point

# Okabe and Ito's colours, which everybody can tell apart.
_PUBLISHED, _OWN, _FAINT = "#0072b2", "#d55e00", "#9a9a9a"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ap",
    "font.family": "sans-serif",
    "font.size": 10,
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Least distance of two names at the right rim, as a share of the axis.
_LINE = 0.042


def draw_ap_chart(published: Sequence[Point], own: Sequence[Point], metric: str, title: str, form: str) -> bytes:
    """The chart as a file: points where parameters are known, lines from side to side where they are not.

    Args:
        published: From the paper.
        own: To compare with them.
        metric: Name of the vertical axis.
        title: Of the chart.
        form: "png", "svg" or "pdf".
    """
    located = [point for point in published if point.millions is not None]
    unlocated = [point for point in published if point.millions is None]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 4.8), layout="constrained", dpi=150)
        axes = figure.subplots()
        _set_limits(axes, [*located, *own], [*published, *own])
        _draw_lines(axes, unlocated)
        _draw_points(axes, located, "o", _PUBLISHED)
        _draw_points(axes, own, "*", _OWN)
        axes.set_xlabel("parameters in millions")
        axes.set_ylabel(f"{metric} in percent")
        axes.set_title(title)
        data = io.BytesIO()
        # No date, so that equal numbers give equal bytes.
        dates: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        figure.savefig(data, format=form, metadata=dates.get(form))
    return data.getvalue()


def _set_limits(axes: Axes, located: Sequence[Point], everything: Sequence[Point]) -> None:
    """Room for all points, and for a name at the right of each."""
    sizes = [point.millions for point in located if point.millions is not None] or [0.0]
    values = [point.value for point in everything] or [0.0]
    span = max(max(sizes) - min(sizes), 20.0)
    axes.set_xlim(max(0.0, min(sizes) - 0.2 * span), max(sizes) + 0.55 * span)
    axes.set_ylim(max(0.0, min(values) - 2.5), min(100.0, max(values) + 2.5))


def _draw_points(axes: Axes, points: Sequence[Point], marker: str, color: str) -> None:
    """A mark per model, and its name and number at the right of it."""
    for point in points:
        assert point.millions is not None
        size = 130 if marker == "*" else 55
        axes.scatter([point.millions], [point.value], s=size, c=color, marker=marker, zorder=3)
        text = f"{point.name}  {point.value:.1f}"
        axes.annotate(
            text, (point.millions, point.value), (8, 0), textcoords="offset points", va="center", color=color, zorder=4
        )


def _draw_lines(axes: Axes, points: Sequence[Point]) -> None:
    """A faint line per model whose parameters are unknown, named beyond the right rim, where names keep apart."""
    low, high = axes.get_ylim()
    heights = spread_heights([(point.value - low) / (high - low) for point in points], _LINE)
    for point, height in zip(points, heights, strict=True):
        axes.axhline(point.value, color=_FAINT, linewidth=0.8, alpha=0.6, zorder=1)
        arrow = {"arrowstyle": "-", "color": _FAINT, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            f"{point.name}  {point.value:.1f}",
            (1.0, (point.value - low) / (high - low)),
            (1.04, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color="#555555",
            arrowprops=arrow,
        )
    note = "dots: parameters counted from the models of mssts" + ("; lines: parameters unknown" if points else "")
    axes.text(0.01, 0.012, note, transform=axes.transAxes, color=_FAINT, fontsize=7.5)


def spread_heights(wanted: Sequence[float], distance: float) -> list[float]:
    """Heights near the wanted ones, in the same order from bottom to top, at least a distance apart.

    Names that come too close move apart as a block around their mean place; blocks that then touch become one.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _bottom(blocks[-1], wanted, distance) < _top(blocks[-2], wanted, distance) + distance:
            last = blocks.pop()
            blocks[-1].extend(last)
    heights = [0.0] * len(wanted)
    for block in blocks:
        for rank, index in enumerate(block):
            heights[index] = _bottom(block, wanted, distance) + rank * distance
    return heights


def _bottom(block: Sequence[int], wanted: Sequence[float], distance: float) -> float:
    return sum(wanted[index] for index in block) / len(block) - (len(block) - 1) * distance / 2


def _top(block: Sequence[int], wanted: Sequence[float], distance: float) -> float:
    return _bottom(block, wanted, distance) + (len(block) - 1) * distance
