"""The evaluator's benchmark on a case that takes no time."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mssts.cli import main
from mssts.data.rle import decode
from mssts.tools import evaluate_case
from mssts.tools.evaluate_case import HEIGHT, NUM_FRAMES, NUM_PREDICTIONS, WIDTH, write_case


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("case")


def test_the_case_is_always_the_same(folder: Path, tmp_path: Path):
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    first, second = write_case(folder, 2), write_case(tmp_path, 2)
    assert first[2:] == second[2:]
    assert digest(first.truth) == digest(second.truth)
    assert digest(first.results) == digest(second.results)


def test_the_case_is_what_it_says(folder: Path):
    case = write_case(folder, 2)
    results = json.loads(case.results.read_text())
    masks = [mask for result in results for mask in result["segmentations"]]
    given = [mask for mask in masks if mask]
    assert (len(results), len(masks)) == (2 * NUM_PREDICTIONS, 2 * NUM_PREDICTIONS * NUM_FRAMES)
    assert (case.num_predictions, case.num_masks) == (len(results), len(given))
    assert 450 < np.mean([len(mask["counts"]) for mask in given]) < 750
    for mask in given[::100]:
        pixels = decode(mask, HEIGHT, WIDTH)
        # One blob: no column within it is empty, and none holds two pieces.
        columns = np.flatnonzero(pixels.any(axis=0))
        assert np.array_equal(columns, np.arange(columns[0], columns[-1] + 1))
        assert (np.diff(pixels.astype(int), axis=0, prepend=0, append=0) == 1).sum() == len(columns)
        assert coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))["counts"].decode() == mask["counts"]  # pyright: ignore


def test_the_verb_compares_with_the_plain_loop(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evaluate_case, "NUM_PREDICTIONS", 20)
    out = tmp_path / "b.json"
    arguments = ["benchmark", "--evaluate", "--videos", "2", "--repeat", "1", "--json", str(out)]
    assert main(arguments) == 0
    facts = json.loads(out.read_text())
    assert facts["num_predictions"] == 40
    assert facts["largest_difference"] <= 1e-9
    assert facts["speedup"] == pytest.approx(facts["plain_s"] / facts["best_s"])
    assert facts["peak_memory"] > 30e6
    assert f"{facts['speedup']:.1f} times faster" in capsys.readouterr().out
