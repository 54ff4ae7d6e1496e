"""One model's picture of one frame for the figures of attention (paper: Fig. 3)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from mssts.inspect.activation import to_heat
from mssts.inspect.views import FrameView
from mssts.visualize.heat_map import draw_heat_map
from mssts.visualize.track_attention import draw_sampling_points, draw_weight_charts


def draw_panel(
    view: FrameView, names: Sequence[str], scale: tuple[float, float], with_tracks: bool
) -> UInt8[np.ndarray, "height W 3"]:
    """The frame under its heat map; with tracks, also their sampling points, and below it their weights by frame.

    Args:
        view: The frame.
        names: Name per class slot.
        scale: Activation of the coldest and of the hottest colour.
        with_tracks: Whether there is a chart, also if no track is in this frame: all panels get one height.
    """
    panel = draw_heat_map(view.result.image, to_heat(view.activation, *scale))
    if not with_tracks:
        return panel
    panel = draw_sampling_points(panel, view.tracks)
    return np.concatenate((panel, draw_weight_charts(view, names, panel.shape[1])))
