"""The verb `plot-ap`: AP against parameters, the published numbers beside the user's own (paper: Fig. 1, right)."""

import argparse
import math
from importlib.util import find_spec

from mssts.atomic_file import write_atomically
from mssts.errors import BadInputError, UsageError
from mssts.visualize.published import Point, published_points


def run_plot_ap(options: argparse.Namespace) -> int:
    """Write the chart; needs no torch.

    Raises:
        UsageError: An added model is not NAME:PARAMS:AP, or there is nothing to draw.
        BadInputError: The file is there already, or matplotlib is not installed.
    """
    own = [parse_point(text) for text in options.add]
    published = published_points(options.set, options.metric, options.backbone)
    title = f"YouTube-VIS {options.set} val, {options.backbone}"
    if not published:
        raise UsageError(f"plot-ap: the paper has no {options.metric} for {title}")
    if options.out.exists() and not options.overwrite:
        raise BadInputError(f"{options.out}: is already there; replace it with --overwrite")
    if find_spec("matplotlib") is None:
        raise BadInputError("the chart needs matplotlib: pip install -e '.[train,viz]' in the project's folder")
    from mssts.visualize.ap_chart import draw_ap_chart

    form = options.out.suffix.lower().removeprefix(".")
    write_atomically(options.out, draw_ap_chart(published, own, options.metric, title, form))
    print(options.out)
    return 0


def parse_point(text: str) -> Point:
    """A model from NAME:PARAMS:AP; the name may hold colons.

    Raises:
        UsageError: The text is none, the parameters are no positive number, or AP is not in 0..100.
    """
    try:
        name, millions_text, value_text = text.rsplit(":", 2)
        millions, value = float(millions_text), float(value_text)
    except ValueError:
        name, millions, value = "", math.nan, math.nan
    if not (name.strip() and 0 < millions < math.inf and 0 <= value <= 100):
        raise UsageError(f"plot-ap: --add '{text}' is not NAME:PARAMS:AP, such as mine:59.8:48.3")
    return Point(name.strip(), value, millions)
