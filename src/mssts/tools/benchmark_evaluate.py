"""`mssts benchmark --evaluate`: how long the evaluator takes on a large seeded case, and how much memory it needs.

Everything is measured from outside on whole processes: start, reading, judging, comparing. The plain loop over
pycocotools runs on the same files in the same run, for its numbers too, which must be the same. Needs no torch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from mssts.atomic_file import write_atomically
from mssts.errors import MsstsError
from mssts.evaluate.threads import num_cores
from mssts.tools.evaluate_case import HEIGHT, NUM_FRAMES, WIDTH, CaseFiles, write_case

SAME = 1e-9


class _Run(NamedTuple):
    """One process: its time and its processor time in seconds, its peak memory in bytes, and the numbers it wrote."""

    seconds: float
    cpu_seconds: float
    peak_memory: int
    numbers: dict[str, float]


@dataclass
class EvaluateBenchmark:
    """What was measured; times are in seconds, sizes in bytes."""

    num_videos: int
    num_predictions: int
    num_masks: int
    file_size: int
    cores: int
    load: float
    runs_s: list[float]
    cpu_s: float
    peak_memory: int
    plain_s: float
    plain_cpu_s: float
    plain_peak_memory: int
    largest_difference: float

    @property
    def best_s(self) -> float:
        """The fastest run."""
        return min(self.runs_s)

    @property
    def speedup(self) -> float:
        """How many times faster than the plain loop the fastest run is."""
        return self.plain_s / self.best_s

    def table(self) -> str:
        """The numbers as text."""
        runs = ", ".join(f"{seconds:.2f}" for seconds in self.runs_s)
        return "\n".join(
            [
                f"{self.num_videos} videos of {NUM_FRAMES} frames of {HEIGHT}x{WIDTH}, {self.num_predictions} "
                f"predictions, {self.num_masks} masks, {self.file_size / 1e6:.0f} MB of results; {self.cores} cores, "
                f"load {self.load:.1f} before",
                f"mssts evaluate: {self.best_s:.2f} s (best of {runs}), {self.cpu_s:.2f} s of processor time, "
                f"peak memory {self.peak_memory / 1e9:.2f} GB",
                f"plain loop over pycocotools: {self.plain_s:.2f} s, {self.plain_cpu_s:.2f} s of processor time, "
                f"peak memory {self.plain_peak_memory / 1e9:.2f} GB",
                f"{self.speedup:.1f} times faster; the twelve numbers differ by {self.largest_difference:.1e} at most",
            ]
        )


def run_benchmark_evaluate(options: argparse.Namespace) -> int:
    """Measure and print, and write JSON if asked to.

    Raises:
        MsstsError: A process failed, or the numbers differ.
    """
    measured = measure_evaluation(options.videos, options.repeat)
    print(measured.table())
    if options.json:
        facts = asdict(measured) | {"best_s": measured.best_s, "speedup": measured.speedup}
        write_atomically(options.json, json.dumps(facts, indent=1) + "\n")
    return 0


def measure_evaluation(num_videos: int, repeat: int) -> EvaluateBenchmark:
    """Evaluate the seeded case, the plain way once and with `mssts evaluate` some times.

    Raises:
        MsstsError: A process failed, or the numbers differ.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="mssts-") as folder:
        case = write_case(Path(folder), num_videos)
        plain = _run_plain(case)
        runs = [_run_evaluate(case) for _ in range(repeat)]
        size = case.results.stat().st_size
    difference = max(abs(run.numbers[name] - value) for run in runs for name, value in plain.numbers.items())
    if difference > SAME:
        raise MsstsError(f"benchmark: the numbers differ from those of the plain loop by {difference}")
    return EvaluateBenchmark(
        num_videos=num_videos,
        num_predictions=case.num_predictions,
        num_masks=case.num_masks,
        file_size=size,
        cores=num_cores(),
        load=load,
        runs_s=[run.seconds for run in runs],
        cpu_s=min(run.cpu_seconds for run in runs),
        peak_memory=max(run.peak_memory for run in runs),
        plain_s=plain.seconds,
        plain_cpu_s=plain.cpu_seconds,
        plain_peak_memory=plain.peak_memory,
        largest_difference=difference,
    )


def _run_evaluate(case: CaseFiles) -> _Run:
    """`mssts evaluate` as a user runs it."""
    out = case.results.with_name("out.json")
    paths = ["--gt", str(case.truth), "--results", str(case.results), "--json", str(out), "--quiet"]
    return _run(["-m", "mssts.cli", "evaluate", *paths], out)


def _run_plain(case: CaseFiles) -> _Run:
    out = case.results.with_name("plain.json")
    return _run(["-m", "mssts.tools.plain_evaluation", str(case.truth), str(case.results), str(out)], out)


def _run(arguments: Sequence[str], out: Path) -> _Run:
    """Run Python in a process of its own; the peak is the largest resident set that the system counted for it.

    Linux counts this process's size at the start of the other one too, so this one has to stay small.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise MsstsError(f"benchmark: {' '.join(arguments[:3])} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return _Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, json.loads(out.read_text()))
