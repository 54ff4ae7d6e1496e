"""`--compile`: the same numbers, the fast forms of the CPU kept, and a machine without a compiler told in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mssts.assets import asset_path
from mssts.config import preset


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own."""
    return subprocess.run(
        [sys.executable, *arguments], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_compiled_numbers_are_the_plain_ones_and_come_from_the_fast_forms():
    done = run(str(Path(__file__).parent / "compiled_and_plain.py"))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    config = preset("tiny")
    for clip in seen:
        assert clip["difference"] < 1e-4
        assert clip["numba_calls"] == config.num_encoder_layers + config.num_decoder_layers
    first, second, third, short = (clip["graphs"] for clip in seen)
    assert first == 0
    assert second > 0, "nothing was compiled"
    assert third == short == second, "compiled again, or for a size that came once"


@pytest.mark.slow
def test_a_compiled_run_finds_the_same_tracks(tmp_path):
    results = []
    for name, options in (("plain", []), ("compiled", ["--compile"])):
        out = tmp_path / name
        arguments = ["predict", str(asset_path("demo.mp4")), "--save", "json", "--device", "cpu", "--out", str(out)]
        done = run("-m", "mssts", *arguments, *options)
        assert done.returncode == 0, done.stderr
        results.append(json.loads((out / "results.json").read_text()))
    plain, compiled = results
    assert plain
    assert [track["category_id"] for track in compiled] == [track["category_id"] for track in plain]
    assert [track["score"] for track in compiled] == pytest.approx([track["score"] for track in plain], abs=1e-4)
    for ours, theirs in zip(compiled, plain, strict=True):
        shown = [[code is not None for code in track["segmentations"]] for track in (ours, theirs)]
        assert shown[0] == shown[1]


@pytest.mark.slow
def test_the_benchmark_of_a_compiled_model_says_so(tmp_path):
    facts = []
    for options in ([], ["--compile"]):
        path = tmp_path / f"{len(options)}.json"
        arguments = ["benchmark", "--preset", "baseline-tiny", "--size", "64x96", "--frames", "2", "--device", "cpu"]
        done = run("-m", "mssts", *arguments, *options, "--json", str(path))
        assert done.returncode == 0, done.stderr
        assert (", compiled" in done.stdout) == bool(options)
        facts.append(json.loads(path.read_text()))
    plain, compiled = facts
    assert (plain["compiled"], compiled["compiled"]) == (False, True)
    assert plain["parts_s"]
    assert not compiled["parts_s"]
    assert compiled["gflop"] == plain["gflop"] > 0
    assert compiled["clip_s"] < 1, "compiling, which takes many seconds, was timed too"


def test_without_a_compiler_one_line_says_so_and_nothing_is_left(tmp_path):
    out = tmp_path / "out"
    arguments = ["predict", str(asset_path("demo.mp4")), "--compile", "--quiet", "--device", "cpu", "--out", str(out)]
    nowhere = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = run("-m", "mssts", *arguments, **nowhere)
    assert done.returncode == 5
    told = [line for line in done.stderr.splitlines() if line.startswith("mssts: ")]
    assert len(told) == 1
    assert "--compile" in told[0]
    assert "compiler" in told[0]
    assert "Traceback" not in done.stderr
    assert not list(out.glob("*"))
