"""The report's charts as inline SVG: text stays text, nothing is loaded from elsewhere, equal numbers, equal bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, which everybody can tell apart.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
}


def line_chart(
    x: Float[np.ndarray, " X"], lines: Mapping[str, Float[np.ndarray, " X"]], x_label: str, y_label: str
) -> str:
    """Curves over a common axis; both axes are percent, given as shares of 1.

    Args:
        x: Places on the horizontal axis.
        lines: Values by name; NaN leaves a gap.
        x_label: What the horizontal axis is.
        y_label: What the vertical axis is.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": x_label + y_label}):
        figure = Figure(figsize=(4.6, 3.3), layout="constrained")
        axes = figure.subplots()
        for (name, values), color in zip(lines.items(), COLORS, strict=False):
            axes.plot(100 * x, 100 * values, label=name, color=color, linewidth=2)
        axes.set(xlabel=f"{x_label} (%)", ylabel=f"{y_label} (%)", ylim=(0, 102))
        axes.margins(x=0.02)
        if len(lines) > 1:
            axes.legend(frameon=False)
        return _svg(figure)


def bar_chart(values: Mapping[str, float], x_label: str, signed: bool = False) -> str:
    """Horizontal bars with their numbers, first on top.

    Args:
        values: Percent by name, given as shares of 1; NaN and less than 0 (undefined) are written as a dash.
        x_label: What the bars measure.
        signed: Less than 0 is a value like any other.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": x_label}):
        figure = Figure(figsize=(4.6, 0.7 + 0.26 * max(1, len(values))), layout="constrained")
        axes = figure.subplots()
        numbers = 100 * np.array(list(values.values()), dtype=np.float64)
        is_defined = ~np.isnan(numbers) & (signed | (numbers >= 0))
        shown = np.where(is_defined, numbers, 0.0)
        places = np.arange(len(shown))
        axes.barh(places, shown, color=COLORS[0], height=0.7)
        axes.set_yticks(places, labels=list(values))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        _write_numbers(axes, shown, is_defined)
        axes.set_xlabel(f"{x_label} (%)")
        return _svg(figure)


def _write_numbers(axes: Axes, numbers: Float[np.ndarray, " N"], is_defined: Sequence[bool] | np.ndarray) -> None:
    """Each bar's number behind its end, with room for it."""
    widest = float(np.abs(numbers).max(initial=1e-3))
    axes.set_xlim(min(0.0, 1.2 * float(numbers.min(initial=0.0))), 1.18 * widest)
    for place, (number, defined) in enumerate(zip(numbers, is_defined, strict=True)):
        text = f"{number:.1f}" if defined else "-"
        axes.text(max(number, 0.0) + 0.015 * widest, place, text, va="center", fontsize=9)


def _svg(figure: Figure) -> str:
    """The drawing without what only files of their own need."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
