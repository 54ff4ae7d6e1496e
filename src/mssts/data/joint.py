"""Joint training: several sources of clips as one."""

from collections.abc import Sequence

import numpy as np

from mssts.config import Category
from mssts.data.batch import ClipSource, Sample


class JointClips:
    """A `ClipSource` whose items are those of several sources, one source after the other.

    Args:
        sources: At least one; all with the same categories.

    Raises:
        ValueError: The categories differ.
    """

    def __init__(self, sources: Sequence[ClipSource]) -> None:
        if any(source.categories != sources[0].categories for source in sources):
            raise ValueError("the sources' class slots mean different categories")
        self.categories: tuple[Category, ...] = sources[0].categories
        self._sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources])

    def __len__(self) -> int:
        """Items of all sources."""
        return int(self._ends[-1])

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        """Make the clip around an item."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        source = self._sources[place]
        return source.sample(index - int(self._ends[place]) + len(source), num_frames, random, progress)
