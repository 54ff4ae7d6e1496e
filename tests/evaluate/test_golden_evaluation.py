"""The twelve numbers against those that the official evaluator printed."""

import json
import os
from pathlib import Path

import pytest

from mssts.data.video_set import load_video_set
from mssts.evaluate.results_file import load_results
from mssts.evaluate.video_ap import evaluate_video_ap

GOLDEN = Path(os.environ.get("MSSTS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
CASES = sorted(path.parent for path in (GOLDEN / "evaluation").glob("*/expected.json"))


@pytest.mark.skipif(not CASES, reason=f"{GOLDEN}: no golden evaluation cases")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_evaluation_agrees_with_the_official_numbers(case: Path):
    truth = load_video_set(case / "gt.json")
    numbers = evaluate_video_ap(truth, load_results(case / "results.json", truth)).numbers
    expected = json.loads((case / "expected.json").read_text())
    assert list(numbers) == list(expected)
    assert numbers == pytest.approx(expected, abs=1e-9)
