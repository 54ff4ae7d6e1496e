import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from mssts.predict.in_background import InBackground


def write_all(work: Callable[[int], None], items: Iterable[int]) -> None:
    """Hand the items on, of which 9 may wait."""
    with InBackground(work, 9) as writer:
        for item in items:
            writer.add(item)


def test_all_items_are_worked_on_in_order_in_one_other_thread():
    seen, threads = [], set()

    def work(item: int) -> None:
        time.sleep(0.001 * (item % 3))
        threads.add(threading.get_ident())
        seen.append(item)

    with InBackground(work, 3) as writer:
        for item in range(40):
            writer.add(item)
    assert seen == list(range(40))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_no_more_items_wait_than_allowed():
    done, added, most = [], 0, 0
    with InBackground(lambda item: (time.sleep(0.002), done.append(item))[1], 4) as writer:
        for item in range(30):
            writer.add(item)
            added += 1
            most = max(most, added - len(done))
    assert 2 <= most <= 4


def test_an_error_reaches_the_caller_and_nothing_after_it_is_worked_on():
    seen = []

    def work(item: int) -> None:
        if item == 5:
            raise OSError("disk full at 5")
        seen.append(item)

    with pytest.raises(OSError, match="disk full at 5"):
        write_all(work, range(1000))
    assert seen == [0, 1, 2, 3, 4]


def test_an_error_of_the_last_item_is_raised_at_the_end():
    def work(item: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_all(work, [0])


def test_a_block_that_ends_with_an_error_does_what_it_was_given():
    seen, may_go_on = [], threading.Event()

    def work(item: int) -> None:
        may_go_on.wait()
        seen.append(item)

    def items() -> Iterator[int]:
        yield from range(5)
        threading.Timer(0.1, may_go_on.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_all(work, items())
    assert seen == [0, 1, 2, 3, 4]
