"""Work that another thread does in order while the caller goes on, with a bound on how far it may fall behind."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")


class InBackground(Generic[Item]):
    """Calls a function for one item after the other in a thread of its own; a `with` block waits for all at its end.

    What a call raises is raised at a later `add` or at the end of the block. No item after it is worked on: a frame is
    never written behind one that could not be. A block that ends with an error waits too, for what it was given was
    good: a broken file's outputs hold all frames before the fault.
    """

    def __init__(self, work: Callable[[Item], None], most_waiting: int) -> None:
        """Takes the function, and how many items may wait (at least 1), which bounds the memory that they hold."""
        self._work = work
        self._most_waiting = most_waiting
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1)
        self._has_failed = False

    def _work_on(self, item: Item) -> None:
        if self._has_failed:
            return
        try:
            self._work(item)
        except BaseException:
            self._has_failed = True
            raise

    def add(self, item: Item) -> None:
        """Work on the item after those before it; waits while too many do, raises what an earlier one raised."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self._most_waiting):
            self._take_first()
        self._waiting.append(self._thread.submit(self._work_on, item))

    def _take_first(self) -> None:
        self._waiting[0].result()
        self._waiting.popleft()

    def __enter__(self) -> "InBackground[Item]":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            while self._waiting:
                self._take_first()
        finally:
            # Left over after a fault or a second Ctrl-C. The caller deletes or closes next what the thread works on.
            self._thread.shutdown(wait=True, cancel_futures=True)
