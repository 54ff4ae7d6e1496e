"""How strongly the encoder's output is activated at each place (paper: Fig. 3), and a colour scale for it."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from torch import Tensor

Measure = Literal["rms", "abs", "mean"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
# A few cells always stand out, at the frame's rim for instance; they must not set the scale for the rest.
LOW_PERCENTILE, HIGH_PERCENTILE = 2.0, 99.5


def activation(memory: Float[Tensor, "T C h w"], measure: Measure = "rms") -> Float[np.ndarray, "T h w"]:
    """The average activation strength over the channels.

    Paper: section 3.2, "the average activation strength across the C features at a particular spatial position for the
    largest scale", which can be read in three ways. "rms" is the root of the mean of the squares; objects stand out
    most in it, so it is our choice. "abs" is the mean of the absolute values. "mean" is the plain mean, which the
    LayerNorm at the encoder's end leaves to its learned weights: objects are cold in it with some models.
    """
    if measure == "abs":
        strength = memory.abs().mean(1)
    elif measure == "rms":
        strength = memory.square().mean(1).sqrt()
    else:
        strength = memory.mean(1)
    return strength.float().cpu().numpy()


class RunningScale:
    """The range of activations that the colours span: percentiles, averaged over all windows so far.

    So the colours neither flicker between windows nor need the whole video at once.
    """

    def __init__(self) -> None:
        self._sum = np.zeros(2)
        self._windows = 0

    def add(self, maps: Float[np.ndarray, "T h w"]) -> None:
        """Count the maps of a window."""
        self._sum += np.percentile(maps, (LOW_PERCENTILE, HIGH_PERCENTILE))
        self._windows += 1

    def range(self) -> tuple[float, float]:
        """The activation of the coldest and of the hottest colour.

        Raises:
            ValueError: No window was counted.
        """
        if self._windows == 0:
            raise ValueError("a scale of no windows")
        low, high = self._sum / self._windows
        return float(low), float(high)


def to_heat(maps: Float[np.ndarray, "*shape"], low: float, high: float) -> Float[np.ndarray, "*shape"]:
    """Activations as shares 0..1 of a range; all 0 where the range is empty."""
    return np.clip((maps - low) / max(high - low, 1e-6), 0.0, 1.0)
