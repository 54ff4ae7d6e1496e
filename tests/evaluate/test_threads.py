"""The same outcome on any number of cores."""

import threading
import time

import pytest

from mssts.evaluate import threads
from mssts.evaluate.threads import map_in_threads, num_cores


def test_outcomes_keep_the_order_of_the_items():
    def late_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0.0)
        return item**2

    assert map_in_threads(late_first, range(20)) == [item**2 for item in range(20)]
    assert map_in_threads(late_first, []) == []


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_the_first_items_error_is_raised(cores: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "num_cores", lambda: cores)

    def fail(item: int) -> int:
        if item == 2:
            time.sleep(0.05)
        if item >= 2:
            raise ValueError(f"item {item}")
        return item

    with pytest.raises(ValueError, match="item 2"):
        map_in_threads(fail, range(10))


def test_an_error_ends_the_work():
    done: list[int] = []

    def fail(item: int) -> None:
        if item == 0:
            raise ValueError
        time.sleep(0.01)
        done.append(item)

    with pytest.raises(ValueError):  # noqa: PT011 - any is the one above
        map_in_threads(fail, range(1000))
    assert len(done) < 500


def test_all_cores_are_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threads, "num_cores", lambda: 3)
    together = threading.Barrier(3, timeout=10)
    assert sorted(map_in_threads(lambda item: together.wait(), range(3))) == [0, 1, 2]
    monkeypatch.undo()
    assert num_cores() >= 1


def test_a_bar_is_for_long_work_only(monkeypatch: pytest.MonkeyPatch, capsys):
    for seconds, shown in ((60.0, False), (0.0, True)):
        monkeypatch.setattr(threads, "_SECONDS_WITHOUT_BAR", seconds)
        map_in_threads(lambda item: time.sleep(0.15), range(3), "video", progress=True)
        out, err = capsys.readouterr()
        assert ("video" in err) == shown
        assert out == ""
    map_in_threads(lambda item: time.sleep(0.15), range(3), "video", progress=False)
    assert capsys.readouterr().err == ""
