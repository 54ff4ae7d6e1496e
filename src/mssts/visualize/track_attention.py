"""Draws what the decoder does for its tracks: sampling points in the frame, and a chart of the weights by frame."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from mssts.inspect.views import FrameView, TrackView
from mssts.visualize.label_layout import MIN_FONT_PX, fit_text
from mssts.visualize.palette import BLACK, Rgb, track_color

# Dots are drawn so many times larger and shrunk, for smooth edges.
_FINE = 3
# Of the picture's shorter side: the radius of a dot that has all the weight of its frame.
_FULL_RADIUS = 0.11
_PAPER, _INK, _FAINT = Rgb(255, 255, 255), Rgb(40, 40, 40), Rgb(190, 190, 190)
CHART_HEIGHT = 68
_MIN_CHART_WIDTH = 104


def draw_sampling_points(image: UInt8[np.ndarray, "H W 3"], tracks: Sequence[TrackView]) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of the picture with a dot per sampling point, in the track's colour; its area is the sample's weight.

    Points outside the picture sample nothing and are left out.
    """
    height, width, _ = image.shape
    layer = Image.new("RGBA", (width * _FINE, height * _FINE))
    draw = ImageDraw.Draw(layer)
    full = _FULL_RADIUS * min(height, width) * _FINE
    for track in tracks:
        for (x, y), weight in zip(track.points.tolist(), track.point_weights.tolist(), strict=True):
            if 0 <= x < 1 and 0 <= y < 1:
                centre = x * width * _FINE, y * height * _FINE
                radius = max(full * weight**0.5, 1.0)
                draw.circle(centre, radius, fill=track_color(track.track_id), outline=BLACK, width=_FINE // 2)
    picture = Image.fromarray(image).convert("RGBA")
    picture.alpha_composite(layer.resize((width, height), Image.Resampling.BOX))
    return np.asarray(picture.convert("RGB"))


def draw_weight_charts(view: FrameView, names: Sequence[str], width: int) -> UInt8[np.ndarray, "height {width} 3"]:
    """A chart beside the other for each track of the frame, as many as fit: a bar per frame of the window.

    A bar is how much its frame counts in the track's embedding, a short line across it how much the temporal attention
    looks at it, the grey line what each would be if all frames counted the same. The frame on show is named.
    """
    picture = Image.new("RGB", (width, CHART_HEIGHT), _PAPER)
    draw = ImageDraw.Draw(picture)
    columns = max(1, width // _MIN_CHART_WIDTH)
    order = np.argsort(-view.result.scores, kind="stable")[:columns]
    for column, row in enumerate(order.tolist()):
        left, right = column * width // columns + 4, (column + 1) * width // columns - 4
        track = view.tracks[row]
        label = int(view.result.labels[row])
        name = names[label] if label < len(names) else f"class {label}"
        font = ImageFont.load_default(MIN_FONT_PX)
        title = fit_text(name, f"#{track.track_id}", right - left, font)
        draw.text((left, 2), title, _INK, font)
        _draw_bars(draw, track, view.place, (left + 2, 22, right - 6, CHART_HEIGHT - 6))
    return np.asarray(picture)


def _draw_bars(draw: ImageDraw.ImageDraw, track: TrackView, place: int, area: tuple[int, int, int, int]) -> None:
    """The bars of one track; the full height is the largest weight of all."""
    left, top, right, bottom = area
    num_frames = len(track.frame_weights)
    attention = track.frame_weights if track.frame_attention is None else track.frame_attention
    highest = float(max(track.frame_weights.max(), attention.max(), 1e-6))
    edges = np.linspace(left, right, num_frames + 1).round().astype(int).tolist()

    def _height_of(share: float) -> int:
        return bottom - round(share / highest * (bottom - top - 1))

    color = track_color(track.track_id)
    for frame, weight in enumerate(track.frame_weights.tolist()):
        bar = edges[frame] + 1, _height_of(weight), max(edges[frame + 1] - 2, edges[frame] + 1), bottom
        draw.rectangle(bar, fill=color, outline=_INK if frame == place else None)
        if track.frame_attention is not None:
            y = _height_of(float(track.frame_attention[frame]))
            draw.line((bar[0], y, bar[2], y), fill=_INK, width=2)
    draw.line((left, _height_of(1 / num_frames), right, _height_of(1 / num_frames)), fill=_FAINT)
    draw.line((edges[place], bottom + 3, edges[place + 1] - 1, bottom + 3), fill=_INK, width=2)
