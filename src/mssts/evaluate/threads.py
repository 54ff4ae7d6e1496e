"""The same work for many items on all cores."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# A bar for what is done before one can read it would only leave lines behind.
_SECONDS_WITHOUT_BAR = 1.0


def num_cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on all systems
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def map_in_threads(
    work: Callable[[Item], Outcome], items: Sequence[Item], unit: str = "item", progress: bool = False
) -> list[Outcome]:
    """The outcomes in the order of the items, however many cores there are.

    An error ends it all; of several, that of the first item is raised, whichever came first in time.

    Args:
        work: Called once per item, from several threads; uses more than one core only where it runs compiled code.
        items: What to call it with.
        unit: What the progress bar counts.
        progress: Show a progress bar on stderr if it takes more than a second.
    """
    with ThreadPoolExecutor(num_cores()) as threads:
        outcomes = threads.map(work, items)
        return list(
            tqdm(
                outcomes,
                total=len(items),
                unit=unit,
                delay=_SECONDS_WITHOUT_BAR,
                disable=not progress,
                dynamic_ncols=True,
                leave=False,
            )
        )
