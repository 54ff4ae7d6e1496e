"""What a user may choose about inference."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PredictSettings:
    """What a user may choose about inference.

    Attributes:
        confidence: An instance counts in a window from this class score on.
        window: Frames per window (T).
        overlap: Frames shared by neighbouring windows, from which tracks are linked.
        short_side: The model sees frames resized to this many pixels on the shorter side.
        max_instances: At most this many instances per window.
        max_duplicate_iou: Of two instances with more overlap than this, the better one stays.
        keep_brief: Near-online, also report what only one window saw; most of that is no object (docs/log.md). A live
            source is always reported so, because the answer would wait for the next window.
    """

    confidence: float
    window: int
    overlap: int
    short_side: int
    max_instances: int = 50
    max_duplicate_iou: float = 0.75
    keep_brief: bool = False
