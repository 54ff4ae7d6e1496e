"""The benchmark's numbers against arithmetic and against each other, on clips that take no time."""

import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

from mssts.atomic_file import write_atomically
from mssts.errors import ResourceError
from mssts.model.ms_sts import SelfAttention
from mssts.tools import benchmark
from mssts.tools.benchmark import Benchmark, Stopwatch, count_operations, matmul_rate, measure

CPU = torch.device("cpu")
SIZE = (64, 96)


@pytest.fixture(autouse=True)
def short_matmul(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "MATMUL_SECONDS", 0.01)
    monkeypatch.setattr(benchmark, "MATMUL_SIZE", 128)


@pytest.fixture(scope="module")
def measured() -> dict[str, Benchmark]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "MATMUL_SECONDS", 0.01)
        return {name: measure(name, SIZE, 2, 1, CPU) for name in ("baseline-tiny", "tiny")}


def test_parts_make_up_the_clip(measured):
    for result in measured.values():
        assert all(seconds > 0 for seconds in result.parts_s.values())
        rest = next(seconds for part, seconds in result.parts_s.items() if part.startswith("rest"))
        assert sum(result.parts_s.values()) == pytest.approx(result.clip_s)
        assert rest < result.clip_s / 2
        assert result.frame_s == result.clip_s / 2
        assert result.peak_memory > 10 * 2**20
        assert result.matmul_share > 0


def test_the_papers_attention_is_a_part_where_it_is_on(measured):
    part = "encoder: MS-STS attention"
    assert part in measured["tiny"].parts_s
    assert part not in measured["baseline-tiny"].parts_s
    assert measured["tiny"].gflop > measured["baseline-tiny"].gflop
    assert measured["tiny"].parameters > measured["baseline-tiny"].parameters


def test_operations_grow_with_the_frames(measured):
    """The baseline treats frames one by one, so each frame adds the same number of operations."""
    two, three, four = (measure("baseline-tiny", SIZE, frames, 1, CPU).gflop for frames in (2, 3, 4))
    assert two == measured["baseline-tiny"].gflop
    assert three - two == pytest.approx(four - three, rel=1e-6)
    assert three - two > two / 4


def test_attention_is_counted():
    """Three projections, and two products of all pairs."""
    num_tokens, dim = 50, 32
    attention = SelfAttention(dim, num_heads=4).eval()
    sequence = torch.randn(1, num_tokens, dim)
    with torch.inference_mode():
        counted = count_operations(lambda: attention(sequence, None))
    assert counted == 3 * 2 * num_tokens * dim**2 + 2 * 2 * num_tokens**2 * dim


class Waiting(nn.Module):
    """Takes a known time on a clock that the test turns."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        self.clock[0] += self.seconds
        return value


def test_stopwatch_adds_up_by_part(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(Stopwatch, "now", lambda self: clock[0])
    first, second, other = (Waiting(clock, seconds) for seconds in (1.0, 0.5, 0.25))
    stopwatch = Stopwatch(CPU)
    with stopwatch.watch({"both": [first, second], "other": [other]}):
        for module in (first, other, second, first):
            module(torch.zeros(1))
    assert stopwatch.seconds == {"both": 2.5, "other": 0.25}
    first(torch.zeros(1))
    assert stopwatch.seconds["both"] == 2.5, "the hooks are gone"


def test_matmul_rate_counts_two_operations_per_product(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(Stopwatch, "now", lambda self: float(next(ticks)))
    # Begin at 0; asked after each product, the clock says 1, 2, 3: two products in three seconds.
    monkeypatch.setattr(benchmark, "MATMUL_SECONDS", 3.0)
    assert matmul_rate(CPU) == pytest.approx(2 / 3 * 2 * 128**3 / 1e9)


def test_json_holds_the_numbers_or_nothing(measured, tmp_path, monkeypatch):
    path = tmp_path / "b.json"
    facts_of = {name: asdict(result) for name, result in measured.items()}
    write_atomically(path, json.dumps(facts_of["tiny"]))
    facts = json.loads(path.read_text())
    assert facts["size"] == list(SIZE)
    assert facts["parts_s"] == measured["tiny"].parts_s
    before = path.read_bytes()

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(ResourceError, match=r"b\.json: .*No space left"):
        write_atomically(path, json.dumps(facts_of["baseline-tiny"]))
    assert [child.name for child in tmp_path.iterdir()] == ["b.json"]
    assert path.read_bytes() == before
