"""Polite ends of a training: Ctrl-C, SIGTERM, and the minutes that it was given."""

import signal
import time
from types import FrameType


class StopRequest:
    """Turns Ctrl-C and a polite kill into a wish that is granted between two steps; a second Ctrl-C stops at once.

    Args:
        max_minutes: After which to stop too; None for no limit.
    """

    def __init__(self, max_minutes: float | None = None) -> None:
        self.requested = False
        self._deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.requested or (self._deadline is not None and time.monotonic() >= self._deadline)
