"""What a user may choose about inference."""

from dataclasses import dataclass

from mssts.model.precision import Precision


@dataclass(frozen=True)
class PredictSettings:
    """What a user may choose about inference.

    Attributes:
        confidence: A track begins from this class score on.
        window: Frames per window (T).
        overlap: Frames shared by neighbouring windows, from which tracks are linked.
        short_side: The model sees frames resized to this many pixels on the shorter side.
        max_instances: At most this many instances per window.
        max_duplicate_iou: Of two instances with more overlap than this, the better one stays.
        doubt: Near-online, a track goes on from this share of `confidence` on.
        keep_brief: Near-online, also report tracks that fewer than two windows are sure of (score from `confidence`
            on); most are no objects (docs/log.md). A live source is always reported so: nobody waits for a window.
        precision: The numbers that the model computes in: `fp32`, or `bf16` for its matrix products.
    """

    confidence: float
    window: int
    overlap: int
    short_side: int
    max_instances: int = 50
    max_duplicate_iou: float = 0.75
    doubt: float = 0.5
    keep_brief: bool = False
    precision: Precision = "fp32"
